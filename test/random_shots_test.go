package test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
	"tenantry/internal/systest"
	"tenantry/internal/systest/knock"
)

// steadyClient keeps its connections, all to the API, whatever the host.
func steadyClient(s *systest.System) *http.Client {
	return &http.Client{
		Timeout:       50 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 8, DisableCompression: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, s.Setting("API_ADDR"))
			},
		},
	}
}

// shot is one random request.
type shot struct {
	method, host, path, bearer string
	header                     map[string]string
	body                       []byte
}

func (w *randomWorld) send(ctx context.Context, i int64) {
	g := shooter{rand.New(rand.NewPCG(2026, uint64(i))), w} //nolint:gosec // seeded, so a failure can be repeated
	r := g.next()
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+r.host+r.path, bytes.NewReader(r.body))
	if err != nil {
		return // what no client can send
	}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		req.Header.Set(name, r.header[name])
	}
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.problems = append(w.problems, err.Error())
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readUnpacked(resp)
	if err != nil {
		body = []byte(err.Error()) // which is no JSON
	}
	w.hear(i, r, resp.StatusCode, resp.Header, body)
}

// readUnpacked reads a body that may be compressed, if that was asked for.
func readUnpacked(resp *http.Response) ([]byte, error) {
	var in io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			return nil, err
		}
		in = z
	}
	return io.ReadAll(io.LimitReader(in, 4<<20))
}

// shooter makes requests out of the schema: what a correct one would hold, and
// what it should not.
type shooter struct {
	*rand.Rand
	w *randomWorld
}

func one[T any](g shooter, from ...T) T { return from[g.IntN(len(from))] }

func (g shooter) noise(most int) string {
	alphabet := []rune("abcXYZ019{}[]\":,;=&%/.\\-_ <>'*()~é\u202e\u0000\n+")
	out := make([]rune, g.IntN(most+1))
	for i := range out {
		out[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(out)
}

var pathParameter = regexp.MustCompile(`\{[a-z_]+\}`)

func (g shooter) next() shot {
	all := knock.Methods()
	m := all[g.IntN(len(all))]
	procedure := knock.Procedure(m)
	verb, route, inBody := knock.Route(m)
	sane := g.IntN(2) == 0 // a client that errs in little
	message := g.message(m.Input(), 0, sane)
	r := shot{method: verb, header: map[string]string{}}
	r.host, r.bearer = g.host(m)
	if !sane && g.IntN(3) == 0 {
		r.bearer = one(g, append(slices.Clone(g.w.bearers), "", "x.y.z", "tnk_"+strings.Repeat("z", g.IntN(90)))...)
	}
	switch g.IntN(10) {
	case 0, 1, 2, 3, 4: // REST
		g.w.met[procedure].Add(1)
		r.path = pathParameter.ReplaceAllStringFunc(route, func(string) string { return url.PathEscape(g.id()) })
		if inBody {
			r.body = message
		} else if !sane || g.IntN(3) == 0 {
			r.path += "?" + g.query(m.Input())
		}
	case 5, 6, 7: // Connect POST
		g.w.met[procedure].Add(1)
		r.method, r.path, r.body = http.MethodPost, procedure, message
	case 8: // Connect GET
		g.w.met[procedure].Add(1)
		r.method, r.path = http.MethodGet, procedure+"?connect=v1&encoding=json&message="+url.QueryEscape(string(message))
	default: // around them
		r.path = "/" + one(g, "", "v1/", "v1/users/", "v1/hooks/provisioning/", "tenantry.users.v1.UserService/", ".well-known/") + url.PathEscape(g.noise(16))
		r.body = []byte(g.noise(40))
	}
	if len(r.body) > 0 {
		r.header["Content-Type"] = "application/json"
	}
	if !sane {
		g.bend(&r)
	}
	return r
}

// bend takes one thing in a few and makes it wrong.
func (g shooter) bend(r *shot) {
	if g.IntN(8) == 0 {
		r.method = one(g, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND")
	}
	if g.IntN(6) == 0 {
		r.header["Content-Type"] = one(g, "application/json; charset=utf-8",
			"text/plain", "application/xml", "garbage;;", "multipart/form-data", "application/x-www-form-urlencoded", "application/connect+json")
	}
	switch g.IntN(12) {
	case 0:
		r.body = r.body[:g.IntN(len(r.body)+1)]
	case 1:
		r.body = []byte(strings.Repeat(one(g, "[", `{"a":`, `{"roles":{"ids":[`), 100+g.IntN(3000)))
	case 2:
		r.body = []byte(one(g, "null", "[]", "0", `""`, "{}", "{}{}", " ", "\xff\xfe", `{"\u0000":1}`))
	}
	if g.IntN(6) == 0 {
		r.path += one(g, "?", "&", "/", "//", "?x", "?limit=", ";", "?filter=a==1;b==2", "?limit=1&limit=2", "%00", "?%zz", "?cursor="+url.QueryEscape(g.noise(20)))
	}
	// A deadline that the client has chosen is answered as one that has passed:
	// only generous ones, and no numbers at all.
	if g.IntN(24) == 0 {
		r.header["Connect-Timeout-Ms"] = one(g, "99999", "-1", "x", "1e3", "99999999999999", "")
	}
	for _, name := range []string{
		"Connect-Protocol-Version", "Content-Encoding", "Accept", "Accept-Language", "Accept-Encoding", "X-HTTP-Method-Override", "X-Forwarded-Host",
		"X-Forwarded-For", "X-Request-Id", "webhook-signature", "webhook-id", "webhook-timestamp", "Idempotency-Key", "If-Match", "If-None-Match", "Origin",
		"Access-Control-Request-Method", "Range", "Cookie", "Connect-Content-Encoding", "X-User-Agent",
	} {
		if g.IntN(24) == 0 {
			r.header[name] = one(g, "1", "0", "gzip", "identity", "GET", "v1,good", "*/*", "de-DE,de;q=0.9", `"1"`, `W/"2"`, "*", "ü", "99999", "-1", "null",
				"https://evil.example", "127.0.0.1", "bytes=0-1", strings.Repeat("x", 300), "application/problem+json", "application/json;q=0")
		}
	}
}

// host is mostly the one that the RPC is served at, with a credential of it.
func (g shooter) host(m protoreflect.MethodDescriptor) (host, bearer string) {
	policy := proto.GetExtension(m.Options(), commonv1.E_Policy).(*commonv1.Policy)
	i := g.IntN(len(g.w.orders))
	host, bearer = g.w.orders[i].Slug+".localhost", g.w.bearers[2*i+g.IntN(2)]
	if policy.GetHost() == commonv1.Host_HOST_CENTRAL {
		host, bearer = "localhost", one(g, g.w.bearers[len(g.w.bearers)-2:]...)
	}
	if g.IntN(16) == 0 {
		host = one(g, "nobody.localhost", "localhost", "10.0.0.1:80", "tenantry.attacker.example", "RANDOM-A.localhost.", strings.Repeat("a", 70)+".localhost", "[::1]")
	}
	return host, bearer
}

// id is one that exists, or not, or none at all.
func (g shooter) id() string {
	return one(g, one(g, g.w.ids...), "0190b1c2-0000-7000-8000-000000000001", "00000000-0000-0000-0000-000000000000", g.noise(12), "..", "billing", "")
}

func (g shooter) query(d protoreflect.MessageDescriptor) string {
	var parts []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if g.IntN(2) == 0 {
			value, _ := g.scalar(f).(string)
			parts = append(parts, url.QueryEscape(string(f.Name()))+"="+url.QueryEscape(one(g, value, "1", "20", "-1", "true", g.noise(10))))
		}
	}
	return strings.Join(parts, one(g, "&", "&", "&", ";"))
}

// message is the JSON of a message, each field more or less what it should be.
func (g shooter) message(d protoreflect.MessageDescriptor, depth int, sane bool) []byte {
	text, err := json.Marshal(g.object(d, depth, sane))
	if err != nil {
		return []byte("{}")
	}
	return text
}

func (g shooter) object(d protoreflect.MessageDescriptor, depth int, sane bool) map[string]any {
	out := map[string]any{}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if g.IntN(4) == 0 || depth > 3 || (sane && g.IntN(3) == 0) {
			continue
		}
		value := func() any {
			if f.Message() != nil && !f.IsMap() {
				return g.object(f.Message(), depth+1, sane)
			}
			return g.scalar(f)
		}
		if f.IsList() {
			list := make([]any, g.IntN(3))
			for j := range list {
				list[j] = value()
			}
			out[string(f.Name())] = list
			continue
		}
		out[string(f.Name())] = value()
	}
	if !sane && g.IntN(8) == 0 {
		out[one(g, "state", "tenant_id", "version", "role", "__proto__", g.noise(5))] = g.scalar(nil)
	}
	return out
}

// scalar is a value for a field; in one of ten it is of another type. It never
// names a free slug: organizations are not what is tested here.
func (g shooter) scalar(f protoreflect.FieldDescriptor) any {
	if f == nil || g.IntN(10) == 0 {
		return one[any](g, nil, true, 1, -1.5, "x", []any{}, map[string]any{"a": 1}, g.noise(8), 1e300)
	}
	name := string(f.Name())
	switch f.Kind() {
	case protoreflect.BoolKind:
		return g.IntN(2) == 0
	case protoreflect.StringKind, protoreflect.BytesKind:
		if name == "slug" {
			return one(g, g.w.orders[0].Slug, "Not A Slug", "admin", g.noise(3)+"!")
		}
		return one(g, g.id(), g.noise(30), "", "a name", "random"+string(rune('a'+g.IntN(26)))+"@random.example", "a quiet harbour at four in the morning", "users.read",
			"-created_at,name", "name==x;email==y", "roles", strings.Repeat("y", g.IntN(2000)))
	case protoreflect.EnumKind:
		return one[any](g, 0, 1, 99, "NO_SUCH_NAME")
	default:
		return one[any](g, 0, 1, 2, 20, 100, -1, 1<<31, "7", 1e18)
	}
}
