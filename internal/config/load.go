package config

import (
	"errors"
	"fmt"
	"net/mail"
	"os"
	"reflect"
	"runtime"
	"strings"

	"github.com/caarlos0/env/v11"
)

// DotEnv is the file that Load reads beside the environment.
const DotEnv = ".env"

// Problem is one mistake. It never holds a value.
type Problem struct {
	// Variable is the whole name, or a file's.
	Variable string `json:"variable"`
	Wrong    string `json:"wrong"`
	Allowed  string `json:"allowed"`
}

// Error is every mistake of a configuration, in the order of [Config].
type Error struct{ Problems []Problem }

// Error is the report for a person: one block a mistake.
func (e *Error) Error() string {
	var b strings.Builder
	count := "1 mistake"
	if len(e.Problems) != 1 {
		count = fmt.Sprintf("%d mistakes", len(e.Problems))
	}
	fmt.Fprintf(&b, "The configuration has %s; nothing was started.\n", count)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s %s\n", p.Variable, p.Wrong)
		if p.Allowed != "" {
			fmt.Fprintf(&b, "    allowed: %s\n", p.Allowed)
		}
	}
	return b.String()
}

// Load reads the environment and .env for a process. Its error is an *[Error].
func Load(p Process) (Config, error) { return LoadFrom(p, os.Environ(), DotEnv) }

// LoadFrom is Load with another environment ("NAME=value") and .env file,
// which need not exist.
func LoadFrom(p Process, environ []string, dotEnv string) (Config, error) {
	src, problems := readSources(environ, dotEnv)
	var c Config
	fields, err := fieldNames()
	if err != nil {
		return Config{}, err
	}
	good := map[string]string{}
	for _, name := range fields {
		value, problem := check(src, p, name, &c)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		if value != "" {
			good[Prefix+name] = value
		}
	}
	if err := fill(&c, good); err != nil {
		return Config{}, err
	}
	problems = append(problems, together(c, p, src)...)
	for _, name := range src.unknown() {
		problems = append(problems, unknownProblem(name))
	}
	if len(problems) > 0 {
		return Config{}, &Error{Problems: problems}
	}
	return c, nil
}

// check answers a variable's good value, empty when it is absent.
func check(src *sources, p Process, name string, c *Config) (string, *Problem) {
	sp, full := specs[name], Prefix+name
	if sp.only != 0 && sp.only&p == 0 {
		if name == "PROVISIONER_URL" && src.values[full]+src.values[full+"_FILE"] != "" {
			c.warnings = append(c.warnings, full+" is in the environment of a process that must not have it; it is not used. Remove it: whoever takes this process over could read it.")
		}
		return "", nil
	}
	value, problem := src.value(name, sp)
	switch {
	case problem != nil:
		return "", problem
	case value == "" && sp.needed&p != 0:
		return "", &Problem{Variable: full, Wrong: "is not set", Allowed: sp.allowed}
	case value == "":
		return "", nil
	}
	if wrong := sp.check(value); wrong != "" {
		return "", &Problem{Variable: full, Wrong: wrong, Allowed: sp.allowed}
	}
	return value, nil
}

func unknownProblem(name string) Problem {
	p := Problem{Variable: name, Wrong: "is not a variable of Tenantry", Allowed: "the variables of .env.example"}
	if meant := nearest(name); meant != "" {
		p.Allowed = meant + ", perhaps"
	}
	return p
}

// together is what single values do not show.
func together(c Config, p Process, src *sources) []Problem {
	var out []Problem
	if p&ForClient != 0 && src.values[Prefix+"PUBLIC_URL"]+src.values[Prefix+"API_URL"] == "" {
		out = append(out, Problem{Variable: Prefix + "API_URL", Wrong: "is not set, and neither is " + Prefix + "PUBLIC_URL", Allowed: specs["API_URL"].allowed})
	}
	return out
}

// fill sets the fields; the values have been checked.
func fill(c *Config, good map[string]string) error {
	err := env.ParseWithOptions(c, env.Options{
		Prefix: Prefix, Environment: good,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[mail.Address](): func(v string) (any, error) {
				a, err := mail.ParseAddress(v)
				if err != nil {
					return nil, errors.New("not an address")
				}
				return *a, nil
			},
		},
	})
	if err != nil {
		// A value that a check let through; env's text would repeat it.
		return errors.New("configuration: a checked value was refused; this is a defect of Tenantry")
	}
	c.PublicURL.Path, c.APIURL.Path = "", ""
	if c.PoolBudget > 0 && c.PoolShare > c.PoolBudget {
		c.warnings = append(c.warnings, Prefix+"POOL_SHARE is larger than "+Prefix+"POOL_BUDGET; one organization may hold the whole budget.")
	}
	if c.HashConcurrency == 0 {
		c.HashConcurrency = max(1, runtime.GOMAXPROCS(0)-1)
	}
	return nil
}

// fieldNames is the variables in the order of Config.
func fieldNames() ([]string, error) {
	params, err := env.GetFieldParamsWithOptions(&Config{}, env.Options{})
	if err != nil {
		return nil, fmt.Errorf("configuration fields: %w", err)
	}
	names := make([]string, 0, len(params))
	for _, f := range params {
		if f.OwnKey != "" {
			names = append(names, f.OwnKey)
		}
	}
	return names, nil
}
