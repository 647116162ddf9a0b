package blocklist

import (
	"crypto/sha256"
	_ "embed" // the list
	"encoding/binary"
	"sort"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// The file holds 65,537 numbers of 4 bytes, big endian: where the bucket of
// each 16-bit prefix begins. The 3 bytes that follow the prefix stand behind
// them, sorted within their bucket.
const (
	buckets    = 1 << 16
	indexSize  = 4 * (buckets + 1)
	suffixSize = 3
)

//go:embed passwords.bin
var list string

// Fold is the form in which passwords are compared here: NFKC, lower case, no
// spaces around.
func Fold(s string) string {
	return strings.TrimSpace(norm.NFKC.String(strings.ToLower(norm.NFKC.String(s))))
}

func hash(folded string) (bucket int, suffix string) {
	sum := sha256.Sum256([]byte(folded))
	return int(binary.BigEndian.Uint16(sum[:])), string(sum[2 : 2+suffixSize])
}

// listed reports whether a folded password is on the list.
func listed(folded string) bool {
	bucket, suffix := hash(folded)
	from, to := begin(bucket), begin(bucket+1)
	i := sort.Search(to-from, func(i int) bool { return at(from+i) >= suffix })
	return i < to-from && at(from+i) == suffix
}

func begin(bucket int) int { return int(binary.BigEndian.Uint32([]byte(list[4*bucket : 4*bucket+4]))) }

func at(i int) string { return list[indexSize+suffixSize*i : indexSize+suffixSize*(i+1)] }

// Encode makes the file from folded passwords; the generator calls it.
func Encode(folded []string) []byte {
	var by [buckets][]string
	for _, p := range folded {
		bucket, suffix := hash(p)
		by[bucket] = append(by[bucket], suffix)
	}
	index, suffixes, n := make([]byte, 0, indexSize), []byte{}, 0
	for _, bucket := range by {
		index = binary.BigEndian.AppendUint32(index, uint32(n))
		sort.Strings(bucket)
		for i, s := range bucket {
			if i == 0 || s != bucket[i-1] {
				suffixes, n = append(suffixes, s...), n+1
			}
		}
	}
	return append(binary.BigEndian.AppendUint32(index, uint32(n)), suffixes...)
}
