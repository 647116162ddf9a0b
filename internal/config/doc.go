// Package config is what an operator sets: environment variables with the
// prefix TENANTRY_, typed and checked before anything starts.
//
// A variable is taken from the process's environment, else from the file .env
// in the working directory; one that is set to nothing counts as absent and
// still hides the file's. Every secret may instead stand in a file, named by
// the variable with _FILE behind it. All mistakes are reported together, each
// with its variable and what is allowed, and never with a value: a password
// often stands where it should not.
//
// A [Config] may be printed, logged and encoded: its secrets show as
// "[redacted]".
package config

import (
	"log/slog"
	"net/mail"
	"net/netip"
	"net/url"
	"time"

	"tenantry/internal/ratelimit"
)

// Prefix begins the name of every variable.
const Prefix = "TENANTRY_"

// Config is the checked configuration of one process. Fields that the process
// does not need may be zero. The env tags are the variables' names without
// [Prefix]; specs holds what each allows and who needs it.
type Config struct {
	// PublicURL is the central host's address, without a path. Tenants live
	// at {slug}.{host}.
	PublicURL url.URL `env:"PUBLIC_URL"`

	// Addresses to listen on, host:port.
	APIAddr    string `env:"API_ADDR" envDefault:"127.0.0.1:8080"`
	WorkerAddr string `env:"WORKER_ADDR" envDefault:"127.0.0.1:8081"`
	// MetricsAddr is where the API serves /metrics, or [Off].
	MetricsAddr string `env:"METRICS_ADDR" envDefault:"127.0.0.1:9464"`
	// TrustedProxies are the networks whose X-Forwarded-For, -Host and -Proto
	// count; from anybody else they are ignored. Forwarded (RFC 7239) is
	// ignored always: a proxy that sets the one and passes the other on would
	// let its clients choose.
	TrustedProxies []netip.Prefix `env:"TRUSTED_PROXIES"`
	// CodecAddr is always a loopback address: the codec server decrypts.
	CodecAddr string `env:"CODEC_ADDR" envDefault:"127.0.0.1:8082"`
	// CodecToken is the bearer token of the codec server.
	CodecToken Secret `env:"CODEC_TOKEN"`
	// CodecOrigins are the origins (RFC 6454) whose pages may call the codec server.
	CodecOrigins []string `env:"CODEC_ORIGINS"`

	// CentralURL is the API credential on the central database.
	CentralURL Secret `env:"CENTRAL_URL"`
	// ProvisionerURL is the credential that creates roles and databases. It
	// stays zero in the API and the codec server, whatever the environment holds.
	ProvisionerURL Secret `env:"PROVISIONER_URL"`
	RedisURL       Secret `env:"REDIS_URL"`

	TemporalAddress   string `env:"TEMPORAL_ADDRESS"`
	TemporalNamespace string `env:"TEMPORAL_NAMESPACE" envDefault:"default"`
	// StickyTimeout is how long a workflow task waits for the worker that has
	// the workflow cached; it bounds the recovery after a killed worker.
	StickyTimeout time.Duration `env:"STICKY_TIMEOUT" envDefault:"5s"`

	// SMTPURL is smtp://[user:password@]host:port, or smtps for implicit TLS.
	SMTPURL  Secret       `env:"SMTP_URL"`
	MailFrom mail.Address `env:"MAIL_FROM"`

	// KEKKeys seal the tenants' data keys, CodecKeys the workflow histories,
	// PepperKeys the password hashes.
	KEKKeys    Keys `env:"KEK_KEYS"`
	CodecKeys  Keys `env:"CODEC_KEYS"`
	PepperKeys Keys `env:"PEPPER_KEYS"`

	// HashConcurrency is how many passwords are hashed at once; by default
	// one core is left free.
	HashConcurrency int `env:"HASH_CONCURRENCY"`
	// Processes is how many API and worker processes run at the same time, those
	// included that overlap in a rolling restart.
	Processes int `env:"PROCESSES" envDefault:"4"`
	// PoolBudget is the most connections to tenant databases; 0 stands for what
	// the server allows, divided by Processes (see internal/capacity). PoolShare
	// is the most of one tenant, CentralPool the most to the central database.
	PoolBudget  int `env:"POOL_BUDGET" envDefault:"0"`
	PoolShare   int `env:"POOL_SHARE" envDefault:"4"`
	CentralPool int `env:"CENTRAL_POOL" envDefault:"8"`

	// FloodPerSecond is how many requests a second one client (an IPv4
	// address or an IPv6 /64) may send to one API process before it is told
	// to slow down.
	FloodPerSecond int `env:"FLOOD_PER_SECOND" envDefault:"2000"`
	// RateRead, RateWrite and RateCredential are the product's limits, over all
	// API processes together, for the RPCs of each rate class. Credential calls
	// hash a password or send a mail.
	RateRead       ratelimit.Rules `env:"RATE_READ" envDefault:"ip:100/s:400,tenant:1000/s:2000,principal:50/s:200"`
	RateWrite      ratelimit.Rules `env:"RATE_WRITE" envDefault:"ip:40/s:200,tenant:200/s:1000,principal:20/s:100"`
	RateCredential ratelimit.Rules `env:"RATE_CREDENTIAL" envDefault:"ip:60/m:60,tenant:20/s:200,principal:30/m:30"`

	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`

	// The command line's own.
	//
	// APIURL is where it finds the central API, when that is not PublicURL.
	APIURL      url.URL `env:"API_URL"`
	OperatorKey Secret  `env:"OPERATOR_KEY"`
	// HookSecret signs for `tenantry hook sign`.
	HookSecret Secret `env:"HOOK_SECRET"`
	// SuperuserURL is read by `tenantry bootstrap` alone.
	SuperuserURL Secret `env:"SUPERUSER_URL"`

	warnings []string
}

// BaseDomain is PublicURL's host without its port: the central host, and what
// follows the slug in a tenant's.
func (c Config) BaseDomain() string { return c.PublicURL.Hostname() }

// CentralBase is the address of the central host, without a slash at the end.
func (c Config) CentralBase() string { return c.PublicURL.Scheme + "://" + c.PublicURL.Host }

// TenantBase is the address of a tenant's host, without a slash at the end.
func (c Config) TenantBase(slug string) string {
	return c.PublicURL.Scheme + "://" + slug + "." + c.PublicURL.Host
}

// ClientBase is where the command line finds the central API.
func (c Config) ClientBase() string {
	if c.APIURL.Host != "" {
		return c.APIURL.Scheme + "://" + c.APIURL.Host
	}
	if c.PublicURL.Host == "" {
		return ""
	}
	return c.CentralBase()
}

// Warnings is what works but should not be so; for the log at the start.
func (c Config) Warnings() []string { return c.warnings }
