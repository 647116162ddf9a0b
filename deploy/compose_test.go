// Package deploy checks the container files at the root of the source tree.
package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

func load(t *testing.T, env types.Mapping) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "..",
		ConfigFiles: []types.ConfigFile{{Filename: "../docker-compose.yml"}},
		Environment: env,
	}, loader.WithProfiles([]string{"*"}))
}

// installed is the environment after bootstrap, with values that can be told apart.
var installed = types.Mapping{
	"POSTGRES_PASSWORD":        "secret-superuser",
	"TENANTRY_CENTRAL_URL":     "secret-central",
	"TENANTRY_PROVISIONER_URL": "secret-provisioner",
	"TENANTRY_KEK_KEYS":        "secret-kek",
	"TENANTRY_CODEC_KEYS":      "secret-codec",
	"TENANTRY_PEPPER_KEYS":     "secret-pepper",
	"TENANTRY_CODEC_TOKEN":     "secret-token",
}

func setting(service types.ServiceConfig, name string) string {
	if value := service.Environment[name]; value != nil {
		return *value
	}
	return ""
}

// sees reports whether a value reaches the service.
func sees(service types.ServiceConfig, value string) bool {
	for _, v := range service.Environment {
		if v != nil && strings.Contains(*v, value) {
			return true
		}
	}
	return strings.Contains(strings.Join(service.Command, " "), value)
}

func TestCompose_HasTheServicesAndImages(t *testing.T) {
	t.Parallel()
	project, err := load(t, installed)
	require.NoError(t, err)
	for name, image := range map[string]string{
		"postgres": "postgres:15", "redis": "redis:7", "temporal": "temporalio/auto-setup:", "temporal-ui": "temporalio/ui:",
		"mailpit": "axllent/mailpit:", "bootstrap": "tenantry:", "migrate": "tenantry:", "api": "tenantry:", "worker": "tenantry:", "codec": "tenantry:",
	} {
		service, ok := project.Services[name]
		require.True(t, ok, name)
		require.True(t, strings.HasPrefix(service.Image, image), "%s runs %s", name, service.Image)
		require.NotRegexp(t, `:latest$`, service.Image)
	}
	require.Contains(t, project.Services["redis"].Command, "--appendonly")
	require.NotEmpty(t, setting(project.Services["temporal-ui"], "TEMPORAL_CODEC_ENDPOINT"))
	for _, name := range []string{"postgres", "redis", "temporal"} {
		require.NotNil(t, project.Services[name].HealthCheck, name)
	}
}

func TestCompose_BindsEveryPortToLoopback(t *testing.T) {
	t.Parallel()
	project, err := load(t, installed)
	require.NoError(t, err)
	for name, service := range project.Services {
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s publishes %s", name, port.Published)
		}
	}
}

func TestCompose_GivesEachServiceOnlyItsSecrets(t *testing.T) {
	t.Parallel()
	project, err := load(t, installed)
	require.NoError(t, err)
	for name, service := range project.Services {
		allowed := name == "worker" || name == "migrate"
		require.Equal(t, allowed, sees(service, "secret-provisioner"), name)
		require.Empty(t, service.EnvFiles, "%s: an env file would carry every secret", name)
	}
	for _, name := range []string{"api", "worker", "codec", "migrate"} {
		require.False(t, sees(project.Services[name], "secret-superuser"), name)
	}
	for secret, services := range map[string][]string{
		"secret-central": {"api", "migrate", "worker"}, "secret-kek": {"api", "migrate", "worker"}, "secret-pepper": {"api"},
		"secret-codec": {"api", "codec", "worker"}, "secret-token": {"codec"},
	} {
		var seeing []string
		for name, service := range project.Services {
			if sees(service, secret) {
				seeing = append(seeing, name)
			}
		}
		require.ElementsMatch(t, services, seeing, secret)
	}
	require.Equal(t, "127.0.0.1:8082", setting(project.Services["codec"], "TENANTRY_CODEC_ADDR"))
}

func TestCompose_CarriesNoSecret(t *testing.T) {
	t.Parallel()
	_, err := load(t, types.Mapping{})
	require.ErrorContains(t, err, "POSTGRES_PASSWORD", "the superuser's password has no default")
	project, err := load(t, types.Mapping{"POSTGRES_PASSWORD": "chosen"})
	require.NoError(t, err, "bootstrap must run before its secrets exist")
	secret := regexp.MustCompile(`_KEYS$|_TOKEN$|^TENANTRY_(CENTRAL|PROVISIONER)_URL$`)
	for name, service := range project.Services {
		for key := range service.Environment {
			if secret.MatchString(key) {
				require.Empty(t, setting(service, key), "%s: %s", name, key)
			}
		}
	}
}

func TestCompose_StartsInOrderAndUnprivileged(t *testing.T) {
	t.Parallel()
	project, err := load(t, installed)
	require.NoError(t, err)
	for _, name := range []string{"api", "worker"} {
		needs := project.Services[name].DependsOn
		for _, server := range []string{"postgres", "redis", "temporal"} {
			require.Equal(t, types.ServiceConditionHealthy, needs[server].Condition, "%s needs %s", name, server)
		}
		require.Equal(t, types.ServiceConditionCompletedSuccessfully, needs["migrate"].Condition, name)
	}
	require.Equal(t, []string{"setup"}, project.Services["bootstrap"].Profiles, "bootstrap runs once, by hand")
	for _, name := range []string{"api", "worker", "codec", "migrate", "bootstrap"} {
		require.True(t, project.Services[name].ReadOnly, name)
		require.Equal(t, []string{"ALL"}, project.Services[name].CapDrop, name)
	}
}

// TestDockerfile_BuildsAStaticBinaryForANonRootImage runs the file's own build command.
func TestDockerfile_BuildsAStaticBinaryForANonRootImage(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	require.Contains(t, string(content), "\nFROM gcr.io/distroless/static:nonroot\n")
	require.Contains(t, string(content), "\nUSER nonroot:nonroot\n")
	command := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*\./cmd/tenantry)$`).FindStringSubmatch(string(content))
	require.NotNil(t, command, "the Dockerfile has no static build of ./cmd/tenantry")

	binary := filepath.Join(t.TempDir(), "tenantry")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(command[1], "/out/tenantry", binary, 1))
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	file, err := elf.Open(binary)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	for _, program := range file.Progs {
		require.NotEqual(t, elf.PT_INTERP, program.Type, "the binary needs a dynamic loader, which the image does not have")
	}
}

// TestDockerignore_LetsTheBuildsInputThrough fails when a new top-level package directory would be missing in the image's build.
func TestDockerignore_LetsTheBuildsInputThrough(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../.dockerignore")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/tenantry")
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	for _, path := range strings.Fields(string(out)) {
		top, _, _ := strings.Cut(strings.TrimPrefix(path, "tenantry/"), "/")
		require.Contains(t, string(content), "\n!"+top+"\n")
	}
}
