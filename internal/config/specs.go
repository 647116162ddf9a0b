package config

// Process is who is being configured; several may be joined with |.
type Process uint

// The processes.
const (
	// ForAPI is `tenantry api`.
	ForAPI Process = 1 << iota
	// ForWorker is `tenantry worker`.
	ForWorker
	// ForCodec is `tenantry codec`.
	ForCodec
	// ForMigrate is the commands that own databases: migrate and verify.
	ForMigrate
	// ForCLIDatabase is the commands that write to the central database
	// themselves: the first operator key.
	ForCLIDatabase
	// ForClient is the commands that call the central API.
	ForClient
	// ForTools is commands that need nothing: hook sign, bootstrap.
	ForTools
)

const (
	forServers  = ForAPI | ForWorker | ForCodec
	forNobody   = Process(0)
	forDatabase = ForMigrate | ForCLIDatabase
)

// spec is what a variable allows, and who cannot do without it.
type spec struct {
	needed Process
	// only limits who reads it; zero stands for everybody.
	only    Process
	secret  bool
	allowed string
	// check answers what is wrong with a value, empty for nothing. Its answer
	// never repeats the value.
	check func(value string) string
}

const (
	keysAllowed = "id:base64[,id:base64...]: an id of 1 to 16 characters a-z, 0-9 and -, and 32 bytes in base64; the first encrypts, all decrypt"
	addrAllowed = "host:port to listen on, like 127.0.0.1:8080; an empty host means every address"
	rateAllowed = "ip:COUNT/UNIT:BURST,tenant:...,principal:... with a unit of s, m or h and numbers from 1 to 1000000, like ip:100/s:400,tenant:1000/s:2000,principal:50/s:200; or off"
	pgAllowed   = "postgres://user:password@host:port/database[?sslmode=...]"
)

// specs is keyed by the variable's name without the prefix.
var specs = map[string]spec{
	"PUBLIC_URL": {
		needed:  ForAPI | ForWorker,
		allowed: "an http or https URL of a host name, without user or path, like https://tenantry.example; tenants live at {slug}.{host}",
		check:   checkBaseURL(true),
	},
	"API_ADDR":    {allowed: addrAllowed, check: checkListen},
	"WORKER_ADDR": {allowed: addrAllowed, check: checkListen},
	"METRICS_ADDR": {
		allowed: addrAllowed + "; or off. Never an address that clients reach", check: checkMetrics,
	},
	"TRUSTED_PROXIES": {
		allowed: "networks in CIDR notation, comma separated, like 10.0.0.0/8,fd00::/8: only proxies that set X-Forwarded-For themselves", check: checkNetworks,
	},
	"CODEC_ADDR": {allowed: "host:port on a loopback address (127.0.0.1, ::1, localhost): it decrypts", check: checkLoopback},
	"CODEC_TOKEN": {
		needed: ForCodec, secret: true,
		allowed: "at least 32 characters, without spaces", check: checkToken,
	},
	"CODEC_ORIGINS": {allowed: "origins of the pages that decode, like https://temporal.example,http://localhost:8233", check: checkOrigins},
	"CENTRAL_URL": {
		needed: ForAPI | ForWorker | forDatabase, secret: true,
		allowed: pgAllowed + ", the API's role on the central database; tenantry bootstrap makes it", check: checkPostgres,
	},
	"PROVISIONER_URL": {
		needed: ForWorker | ForMigrate, only: ^(ForAPI | ForCodec), secret: true,
		allowed: pgAllowed + ", the provisioner's role on the central database; tenantry bootstrap makes it", check: checkPostgres,
	},
	"REDIS_URL": {
		needed: ForAPI | ForWorker, secret: true,
		allowed: "redis://[user:password@]host:port[/database], or rediss:// for TLS", check: checkRedis,
	},
	"TEMPORAL_ADDRESS":   {needed: ForAPI | ForWorker, allowed: "host:port of Temporal's frontend", check: checkRemote},
	"TEMPORAL_NAMESPACE": {allowed: "the namespace's name, 2 to 63 characters a-z, A-Z, 0-9, ., _ and -", check: checkNamespace},
	"STICKY_TIMEOUT":     {allowed: "a duration from 100ms to 60s", check: checkDuration(minSticky, maxSticky)},
	"SMTP_URL": {
		needed: ForWorker, secret: true,
		allowed: "smtp://[user:password@]host:port, or smtps:// for implicit TLS", check: checkSMTP,
	},
	"MAIL_FROM":        {needed: ForWorker, allowed: "one address (RFC 5322), like Tenantry <no-reply@tenantry.example>", check: checkAddress},
	"KEK_KEYS":         {needed: ForAPI | ForWorker | forDatabase, secret: true, allowed: keysAllowed, check: checkKeys},
	"CODEC_KEYS":       {needed: forServers, secret: true, allowed: keysAllowed, check: checkKeys},
	"PEPPER_KEYS":      {needed: ForAPI, secret: true, allowed: keysAllowed, check: checkKeys},
	"HASH_CONCURRENCY": {allowed: "a whole number from 1 to 1024", check: checkInt(1, 1024)},
	"POOL_BUDGET":      {allowed: "a whole number from 1 to 10000, or 0 for the process's part of what the database server allows", check: checkInt(0, 10000)},
	"POOL_SHARE":       {allowed: "a whole number from 1 to 10000; more than the budget counts as the budget", check: checkInt(1, 10000)},
	"PROCESSES":        {allowed: "a whole number from 1 to 1000: the API and worker processes that run at the same time, also while they are replaced", check: checkInt(1, 1000)},
	"CENTRAL_POOL":     {allowed: "a whole number from 2 to 1000", check: checkInt(2, 1000)},
	"FLOOD_PER_SECOND": {allowed: "a whole number from 1 to 1000000", check: checkInt(1, 1000000)},
	"RATE_READ":        {allowed: rateAllowed, check: checkRules},
	"RATE_WRITE":       {allowed: rateAllowed, check: checkRules},
	"RATE_CREDENTIAL":  {allowed: rateAllowed, check: checkRules},
	"LOG_LEVEL":        {allowed: "debug, info, warn or error", check: checkLevel},
	"API_URL": {
		allowed: "an http or https URL of a host, without user or path: where the command line finds the central API",
		check:   checkBaseURL(false),
	},
	"OPERATOR_KEY":  {needed: ForClient, secret: true, allowed: "an operator key (tnop_...), as tenantry operator create prints it", check: checkOperatorKey},
	"HOOK_SECRET":   {needed: forNobody, only: ForTools, secret: true, allowed: "a Standard Webhooks secret (whsec_...), as tenantry hook create prints it", check: checkAny},
	"SUPERUSER_URL": {needed: forNobody, only: ForTools, secret: true, allowed: pgAllowed + ", read by tenantry bootstrap alone", check: checkPostgres},
}
