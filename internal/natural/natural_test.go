package natural_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/parqueue/parqueue/internal/natural"
)

func TestOrder(t *testing.T) {
	want := []string{
		"", "0", "1", "01", "2", "9", "10", "10a", "99999999999999999999998", "99999999999999999999999",
		"Part-1", "a", "part", "part-", "part-1.parquet", "part-1a.parquet", "part-2.parquet", "part-02.parquet", "part-10.parquet",
		"part-10-2", "part-10-10", "é",
	}
	slices.SortStableFunc(want, func(a, b string) int { return strings.Compare(a, b) })
	slices.SortFunc(want, natural.Compare)
	got := strings.Join(want, " ")
	const order = " 0 01 1 2 9 10 10a 99999999999999999999998 99999999999999999999999 Part-1 a part part- part-1.parquet part-1a.parquet part-02.parquet part-2.parquet part-10-2 part-10-10 part-10.parquet é"
	if got != order {
		t.Errorf("ordered\n%s, want\n%s", got, order)
	}
}

func TestFoldersStayTogether(t *testing.T) {
	paths := []string{"b.parquet", "a/2.parquet", "a-1/1.parquet", "a/10.parquet", "a/1.parquet", "a.parquet"}
	slices.SortFunc(paths, natural.ComparePaths)
	want := []string{"a/1.parquet", "a/2.parquet", "a/10.parquet", "a-1/1.parquet", "a.parquet", "b.parquet"}
	if !slices.Equal(paths, want) {
		t.Errorf("ordered %q, want %q", paths, want)
	}
}

// names draws names that are alike, so that every rule is met.
func names() *rapid.Generator[string] {
	return rapid.StringMatching(`([ab-]|0{0,2}[0-9]{0,3}|é){0,5}`)
}

// Compare is a total order, whatever the names.
func TestTotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := names().Draw(t, "a"), names().Draw(t, "b"), names().Draw(t, "c")
		if natural.Compare(a, b) != -natural.Compare(b, a) {
			t.Fatalf("%q and %q are in two orders", a, b)
		}
		if (natural.Compare(a, b) == 0) != (a == b) {
			t.Fatalf("%q and %q: one place for two names", a, b)
		}
		if natural.Compare(a, b) <= 0 && natural.Compare(b, c) <= 0 && natural.Compare(a, c) > 0 {
			t.Fatalf("%q, %q and %q go round", a, b, c)
		}
	})
}

// Numbers within equal names are in the order of their values, of any length.
func TestNumbersAreInTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[0-9]{1,40}`)
		m, n := digits.Draw(t, "m"), digits.Draw(t, "n")
		x, _ := new(big.Int).SetString(m, 10)
		y, _ := new(big.Int).SetString(n, 10)
		got := natural.Compare(fmt.Sprintf("part-%s.parquet", m), fmt.Sprintf("part-%s.parquet", n))
		if want := x.Cmp(y); want != 0 && got != want {
			t.Fatalf("%s and %s compare as %d", m, n, got)
		}
	})
}
