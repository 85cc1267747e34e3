// Package natural orders names as people do: part-2 comes before part-10. Runs
// of digits are compared as numbers, everything else byte by byte.
//
// The package needs no IAM actions.
package natural

import (
	"cmp"
	"strings"
)

// Compare is negative when a comes before b, positive when it comes after, and 0
// only when they are the same text. It is a total order: names whose numbers are
// equal and written with different numbers of zeros are in the order of their
// bytes.
func Compare(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if digit(x[0]) && digit(y[0]) {
			var m, n string
			m, x = number(x)
			n, y = number(y)
			if c := compareNumbers(m, n); c != 0 {
				return c
			}
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	if c := cmp.Compare(len(x), len(y)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// ComparePaths is Compare folder by folder: what is in a folder stays together.
// The folders are separated by slashes.
func ComparePaths(a, b string) int {
	for {
		x, inA, moreA := strings.Cut(a, "/")
		y, inB, moreB := strings.Cut(b, "/")
		if c := Compare(x, y); c != 0 {
			return c
		}
		switch {
		case !moreA && !moreB:
			return 0
		case !moreA:
			return -1
		case !moreB:
			return 1
		}
		a, b = inA, inB
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// number cuts the run of digits off that a text begins with. The zeros before a
// number don't count.
func number(s string) (digits, rest string) {
	end := 0
	for end < len(s) && digit(s[end]) {
		end++
	}
	return strings.TrimLeft(s[:end], "0"), s[end:]
}

// compareNumbers compares numbers of any length.
func compareNumbers(m, n string) int {
	if c := cmp.Compare(len(m), len(n)); c != 0 {
		return c
	}
	return strings.Compare(m, n)
}
