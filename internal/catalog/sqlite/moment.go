package sqlite

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// moment is a time as the catalog stores it: RFC 3339 in UTC to the
// nanosecond, or "" for the zero time.
type moment time.Time

// Value implements driver.Valuer.
func (m moment) Value() (driver.Value, error) {
	if time.Time(m).IsZero() {
		return "", nil
	}
	return time.Time(m).UTC().Format(time.RFC3339Nano), nil
}

// Scan implements sql.Scanner.
func (m *moment) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("a time is stored as %T", v)
	}
	if text == "" {
		*m = moment{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("reading a stored time: %w", err)
	}
	*m = moment(t.UTC())
	return nil
}
