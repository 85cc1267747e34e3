package testtool

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// What the environment says of tests that draw at random: how many times as much to
// try as a plain run does, and the seed to draw from.
const (
	scaleVariable = "PARQUEUE_PROOF_SCALE"
	seedVariable  = "PARQUEUE_PROOF_SEED"
)

// Scale is how many times as much to try as a plain run does.
func Scale(t testing.TB) int {
	t.Helper()
	text := os.Getenv(scaleVariable)
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, and has to be a number from 1", scaleVariable, text)
	}
	return n
}

// Seed takes the seed from the environment, or from the clock, and prints it. As
// tasks and processes take turns as they like, a seed repeats what is drawn and not
// who gets it.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	return seed
}
