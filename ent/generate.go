// Package ent holds the schemas and the code generated from them.
package ent

//go:generate go run ./entgen
