package worker

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	codecToken  = "a-token-of-the-test-suite"
	codecOrigin = "http://localhost:8233"
)

type codecWorld struct {
	t      *testing.T
	codec  *Codec
	server http.Handler
	logs   *strings.Builder
}

func codecSetup(t *testing.T) *codecWorld {
	t.Parallel()
	w := &codecWorld{t: t, codec: newCodec(t, "k1"), logs: &strings.Builder{}}
	var err error
	w.server, err = NewCodecServer(CodecServerConfig{
		Codec: w.codec, Token: codecToken, Origins: []string{codecOrigin}, Log: slog.New(slog.NewTextHandler(w.logs, nil)),
	})
	require.NoError(t, err)
	return w
}

// body is a sealed payload as the UI sends it.
func (w *codecWorld) body(text string) string {
	sealed, err := w.codec.Encode([]*commonpb.Payload{plain(text)})
	require.NoError(w.t, err)
	b, err := protojson.Marshal(&commonpb.Payloads{Payloads: sealed})
	require.NoError(w.t, err)
	return string(b)
}

func (w *codecWorld) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8082"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Namespace", "default")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	return rec
}

func (w *codecWorld) requireDecoded(rec *httptest.ResponseRecorder, text string) {
	w.t.Helper()
	require.Equal(w.t, http.StatusOK, rec.Code, rec.Body)
	var out commonpb.Payloads
	require.NoError(w.t, protojson.Unmarshal(rec.Body.Bytes(), &out))
	require.Equal(w.t, text, string(out.Payloads[0].Data))
}

func TestCodecServer_RefusesWithoutTheToken(t *testing.T) {
	w := codecSetup(t)
	for name, rec := range map[string]*httptest.ResponseRecorder{
		"none":        w.do("POST", "/decode", w.body("1")),
		"wrong":       w.do("POST", "/decode", w.body("1"), "Authorization", "Bearer wrong"),
		"basic":       w.do("POST", "/decode", w.body("1"), "Authorization", "Basic "+codecToken),
		"prefix":      w.do("POST", "/decode", w.body("1"), "Authorization", "Bearer "+codecToken[:10]),
		"wrong path":  w.do("POST", "/wrong/decode", w.body("1"), "Authorization", "Bearer "+codecToken),
		"empty path":  w.do("POST", "//decode", w.body("1")),
		"query":       w.do("POST", "/decode?token="+codecToken, w.body("1")),
		"encode":      w.do("POST", "/encode", w.body("1")),
		"other paths": w.do("GET", "/", ""),
	} {
		require.Equal(t, http.StatusUnauthorized, rec.Code, name)
		require.Equal(t, "application/json", rec.Header().Get("Content-Type"), name)
		require.NotContains(t, rec.Body.String(), codecToken)
	}
	require.NotContains(t, w.logs.String(), codecToken)
}

func TestCodecServer_RefusesForeignOriginsAndHosts(t *testing.T) {
	w := codecSetup(t)
	auth := []string{"Authorization", "Bearer " + codecToken}
	for _, origin := range []string{"http://evil.example", "null", "http://localhost:82330", "https://localhost:8233"} {
		for _, method := range []string{"POST", "OPTIONS"} {
			rec := w.do(method, "/decode", w.body("1"), append(auth, "Origin", origin)...)
			require.Equal(t, http.StatusForbidden, rec.Code, origin)
			require.Empty(t, rec.Header().Get("Access-Control-Allow-Origin"))
		}
	}
	for _, host := range []string{"evil.example:8082", "127.0.0.1.evil.example", "10.0.0.1:8082"} {
		require.Equal(t, http.StatusForbidden, w.do("POST", "/decode", w.body("1"), append(auth, "Host", host)...).Code, host)
	}
}

func TestCodecServer_OnlyDecodes(t *testing.T) {
	w := codecSetup(t)
	auth := []string{"Authorization", "Bearer " + codecToken}
	require.Equal(t, http.StatusForbidden, w.do("POST", "/encode", w.body("1"), auth...).Code)
	require.Equal(t, http.StatusForbidden, w.do("POST", "/"+codecToken+"/encode", w.body("1")).Code)
	none := w.do("POST", "/encode", "{}", auth...) // the CLI's query without arguments
	require.Equal(t, http.StatusOK, none.Code)
	require.Equal(t, "{}", none.Body.String())
	require.Equal(t, http.StatusMethodNotAllowed, w.do("GET", "/decode", "", auth...).Code)
	require.Equal(t, http.StatusNotFound, w.do("POST", "/"+codecToken+"/a/decode", w.body("1")).Code)
}

func TestCodecServer_RefusesBrokenBodies(t *testing.T) {
	w := codecSetup(t)
	auth := []string{"Authorization", "Bearer " + codecToken}
	require.Equal(t, http.StatusBadRequest, w.do("POST", "/decode", "{", auth...).Code)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.do("POST", "/decode", strings.Repeat(" ", maxCodecBody+1), auth...).Code)
	other := codecWorld{t: t, codec: newCodec(t, "k2")}
	rec := w.do("POST", "/decode", other.body("1"), auth...)
	require.Equal(t, http.StatusBadRequest, rec.Code)
	require.Contains(t, rec.Body.String(), `"code":"payload"`)
}

func TestCodecServer_DecodesForTheCLIAndTheUI(t *testing.T) {
	w := codecSetup(t)
	w.requireDecoded(w.do("POST", "/decode", w.body(`"cli"`), "Authorization", "Bearer "+codecToken), `"cli"`)
	rec := w.do("POST", "/"+codecToken+"/decode", w.body(`"ui"`), "Origin", codecOrigin)
	w.requireDecoded(rec, `"ui"`)
	require.Equal(t, codecOrigin, rec.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "Origin", rec.Header().Get("Vary"))
	require.Empty(t, rec.Header().Get("Access-Control-Allow-Credentials"))
	pre := w.do("OPTIONS", "/"+codecToken+"/decode", "", "Origin", codecOrigin, "Access-Control-Request-Method", "POST")
	require.Equal(t, http.StatusNoContent, pre.Code)
	require.Contains(t, pre.Header().Get("Access-Control-Allow-Headers"), "X-Namespace")
}

func TestCodecServer_RefusesAWeakConfiguration(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, c := range []CodecServerConfig{
		{Token: codecToken},
		{Codec: newCodec(t, "k1"), Token: "short"},
		{Codec: newCodec(t, "k1"), Token: "a/token/with/slashes/in/it"},
		{Codec: newCodec(t, "k1"), Token: codecToken, Origins: []string{"*"}},
	} {
		c.Log = log
		_, err := NewCodecServer(c)
		require.Error(t, err)
	}
	for _, a := range []string{"0.0.0.0:0", ":0", "10.0.0.1:0", "example.org:0"} {
		_, err := ListenLoopback(a)
		require.Error(t, err, a)
	}
	l, err := ListenLoopback("127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
