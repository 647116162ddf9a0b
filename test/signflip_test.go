package test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// signFlip is the permutation test of paired differences: how likely it is, if
// either of a pair could as well have been the other, that the signed ranks sum
// up so far from zero (two-sided). Ranks keep single slow requests from
// deciding, pairs what drifts. The least p it can answer is 1 of permutations.
func signFlip(g *rand.Rand, differences []float64, permutations int) (p float64) {
	ranks, seen := signedRanks(differences), 0.0
	for _, r := range ranks {
		seen += r
	}
	as := 1
	for range permutations {
		sum, bits := 0.0, uint64(0)
		for i, r := range ranks {
			if i%64 == 0 {
				bits = g.Uint64()
			}
			if bits>>(i%64)&1 == 0 {
				r = -r
			}
			sum += r
		}
		if math.Abs(sum) >= math.Abs(seen) {
			as++
		}
	}
	return float64(as) / float64(permutations+1)
}

// signedRanks ranks by size (1 the least), each with its sign (Wilcoxon).
func signedRanks(differences []float64) []float64 {
	order := make([]int, len(differences))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(differences[a]), math.Abs(differences[b])) })
	ranks := make([]float64, len(differences))
	for rank, i := range order {
		ranks[i] = math.Copysign(float64(rank+1), differences[i])
	}
	return ranks
}

// TestSignFlip_SeesAShiftAndNothingElse holds the statistic itself to noise
// like that of requests: skewed, with stragglers, drifting.
func TestSignFlip_SeesAShiftAndNothingElse(t *testing.T) {
	t.Parallel()
	g := rand.New(rand.NewPCG(4, 2))
	noise := func(i int) float64 {
		ms := 25 + 0.01*float64(i) + 4*g.ExpFloat64()
		if g.IntN(20) == 0 {
			ms += 80 * g.Float64()
		}
		return ms
	}
	pairs := func(n int, shift float64) []float64 {
		d := make([]float64, n)
		for i := range d {
			d[i] = noise(i) + shift - noise(i)
		}
		return d
	}
	below := 0
	for range 100 {
		if signFlip(g, pairs(100, 0), 1000) < 0.05 {
			below++
		}
	}
	require.Less(t, below, 15, "of 100 tests of nothing about 5 fall below 0.05")
	require.Less(t, signFlip(g, pairs(500, 2), 20_000), 0.0001, "2 ms in 500 pairs")
	require.Less(t, signFlip(g, pairs(500, -2), 20_000), 0.0001, "and the other way")
}
