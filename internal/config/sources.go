package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// maxSecretFile is far above any real secret; a wrong path may name a device.
const maxSecretFile = 64 << 10

// serviceLink matches what Kubernetes sets for a service called tenantry;
// nobody wrote those.
var serviceLink = regexp.MustCompile(`^TENANTRY_(.*_)?(SERVICE_(HOST|PORT.*)|PORT_[0-9]+_(TCP|UDP|SCTP).*)$`)

// sources is the environment and .env, merged.
type sources struct {
	// values holds what stands in the environment or in .env, with prefix.
	values map[string]string
	// fromFile names those of .env.
	fromFile map[string]bool
}

// readSources merges; dotEnv need not exist.
func readSources(environ []string, dotEnv string) (*sources, []Problem) {
	s := &sources{values: map[string]string{}, fromFile: map[string]bool{}}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, Prefix) {
			s.values[name] = value
		}
	}
	content, err := os.ReadFile(dotEnv)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, []Problem{{Variable: dotEnv, Wrong: "cannot be read: " + reason(err), Allowed: "a readable file, or none"}}
	}
	file, err := godotenv.UnmarshalBytes(content)
	if err != nil {
		return s, []Problem{{Variable: dotEnv, Wrong: unreadableLine(content), Allowed: "NAME=value, one a line"}}
	}
	for name, value := range file {
		if !strings.HasPrefix(name, Prefix) || s.inEnvironment(name) {
			continue
		}
		s.values[name], s.fromFile[name] = value, true
	}
	return s, nil
}

// inEnvironment reports whether the environment decides name, by itself or by
// the other of NAME and NAME_FILE.
func (s *sources) inEnvironment(name string) bool {
	base := strings.TrimSuffix(name, "_FILE")
	for _, n := range []string{name, base, base + "_FILE"} {
		if _, set := s.values[n]; set && !s.fromFile[n] {
			return true
		}
	}
	return false
}

// value answers a variable's value, empty when it is absent.
func (s *sources) value(name string, sp spec) (string, *Problem) {
	full := Prefix + name
	direct, path := s.values[full], s.values[full+"_FILE"]
	if !sp.secret || path == "" {
		return direct, nil
	}
	if direct != "" {
		return "", &Problem{Variable: full, Wrong: "is set, and so is " + full + "_FILE", Allowed: "one of the two"}
	}
	value, err := readSecretFile(path)
	if err != nil {
		return "", &Problem{Variable: full + "_FILE", Wrong: "names a file that cannot be read: " + reason(err), Allowed: "the path of a readable file that holds only the value"}
	}
	if value == "" {
		return "", &Problem{Variable: full + "_FILE", Wrong: "names an empty file", Allowed: "the path of a readable file that holds only the value"}
	}
	return value, nil
}

func readSecretFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() && info.Mode()&fs.ModeNamedPipe == 0 {
		return "", errors.New("not a file")
	}
	if info.Size() > maxSecretFile {
		return "", errors.New("larger than 64 KiB")
	}
	content, err := os.ReadFile(path)
	// Editors and `echo` end a file with a line break.
	return strings.TrimRight(string(content), "\r\n"), err
}

// reason is an error without the path, which the caller names.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// unknown answers the variables nobody reads, sorted.
func (s *sources) unknown() []string {
	var names []string
	for name, value := range s.values {
		if !known(name, value) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func known(name, value string) bool {
	bare := strings.TrimPrefix(name, Prefix)
	if _, ok := specs[bare]; ok {
		return true
	}
	if sp, ok := specs[strings.TrimSuffix(bare, "_FILE")]; ok && sp.secret {
		return true
	}
	if strings.HasPrefix(bare, "TEST_") || strings.HasPrefix(bare, "CRASH") {
		return true
	}
	link := strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
	return link || serviceLink.MatchString(name)
}

// nearest answers the variable somebody may have meant, or nothing.
func nearest(name string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(name, Prefix), "_FILE")
	best, at := "", 4
	for _, candidate := range slices.Sorted(maps.Keys(specs)) {
		if d := distance(bare, candidate); d < at {
			best, at = candidate, d
		}
	}
	if best == "" || at > len(best)/2 {
		return ""
	}
	return Prefix + best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
