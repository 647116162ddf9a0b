package schema

import "io/fs"

// HashOf is hashOf for tests of other file sets.
func HashOf(files fs.FS, more ...string) string { return hashOf(files, more...) }

// SetLockTimeout shortens the wait of a test.
func (s *Schema) SetLockTimeout(d string) { s.lockTimeout = d }

// SetParallel bounds how many tenants are migrated side by side.
func (s *Schema) SetParallel(n int) { s.parallel = n }
