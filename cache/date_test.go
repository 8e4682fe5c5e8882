package cache

import (
	"strings"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	sunday := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, c := range []struct {
		sentence, date string
		want           time.Time // zero: no date
	}{
		// RFC 9110, section 5.6.7.
		{"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", sunday},
		{"obsolete RFC 850 format", "Sunday, 06-Nov-94 08:49:37 GMT", sunday},
		{"obsolete asctime format", "Sun Nov  6 08:49:37 1994", sunday},
		{"asctime with a day of two digits", "Wed Nov 16 08:49:37 1994", sunday.AddDate(0, 0, 10)},
		{"or with a zero", "Sun Nov 06 08:49:37 1994", sunday},
		{"a leap second", "Sat, 31 Dec 2016 23:59:60 GMT", time.Date(2016, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"a leap second in RFC 850 format", "Saturday, 31-Dec-16 23:59:60 GMT", time.Date(2016, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"a leap second in asctime format", "Sat Dec 31 23:59:60 2016", time.Date(2016, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"a two-digit year ahead of us", "Thursday, 18-Aug-50 02:01:18 GMT", time.Date(2050, 8, 18, 2, 1, 18, 0, time.UTC)},
		{"a two-digit year more than 50 years ahead is the past", "Friday, 01-Jan-99 00:00:00 GMT", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"the day's name tells no time", "Mon, 06 Nov 1994 08:49:37 GMT", sunday},
		// RFC 9111, section 4.2.
		{"case-insensitively: month", "Sun, 06 nov 1994 08:49:37 GMT", sunday},
		{"case-insensitively: day", "sUN, 06 Nov 1994 08:49:37 GMT", sunday},
		{"case-insensitively: zone", "Sun, 06 Nov 1994 08:49:37 gmt", sunday},
		{"a zone other than GMT is invalid", "Sun, 06 Nov 1994 08:49:37 CET", time.Time{}},
		{"UTC is not GMT either", "Sun, 06 Nov 1994 08:49:37 UTC", time.Time{}},
		{"an RFC 850 date in another zone", "Sunday, 06-Nov-94 08:49:37 EST", time.Time{}},
		{"a numeric zone", "Sun, 06 Nov 1994 08:49:37 +0000", time.Time{}},
		{"no zone", "Sun, 06 Nov 1994 08:49:37", time.Time{}},
		// Everything that is none of the three forms.
		{"IMF-fixdate with a two-digit year", "Sun, 06 Nov 94 08:49:37 GMT", time.Time{}},
		{"RFC 850 with a four-digit year", "Sunday, 06-Nov-1994 08:49:37 GMT", time.Time{}},
		{"dashes in an IMF-fixdate", "Sun, 06-Nov-1994 08:49:37 GMT", time.Time{}},
		{"missing comma", "Sun 06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"one-digit hour", "Sun, 06 Nov 1994 8:49:37 GMT", time.Time{}},
		{"one-digit day", "Sun, 6 Nov 1994 08:49:37 GMT", time.Time{}},
		{"double space", "Sun, 06 Nov 1994  08:49:37 GMT", time.Time{}},
		{"no space after the comma", "Sun,06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"fractions of a second", "Sun, 06 Nov 1994 08:49:37.5 GMT", time.Time{}},
		{"no seconds", "Sun, 06 Nov 1994 08:49 GMT", time.Time{}},
		{"asctime with a day of one digit and one space", "Sun Nov 6 08:49:37 1994", time.Time{}},
		{"second 60 of another minute", "Sat, 31 Dec 2016 23:58:60 GMT", time.Time{}},
		{"text after it", "Sun, 06 Nov 1994 08:49:37 GMT; x", time.Time{}},
		{"two dates", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"no such day", "Sun, 31 Nov 1994 08:49:37 GMT", time.Time{}},
		{"no such day's name", "Xyz, 06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"letters outside ASCII", "Sun, 06 Nov 1994 08:49:37 GMT\u017f", time.Time{}},
		{"zero", "0", time.Time{}},
		{"nothing", "", time.Time{}},
	} {
		got, ok := parseDate(c.date)
		if ok == c.want.IsZero() || !got.Equal(c.want) {
			t.Errorf("%s: parseDate(%q) = %v, %t, want %v", c.sentence, c.date, got, ok, c.want)
		}
	}
}

func TestFormatDate(t *testing.T) {
	east := receipt.Wall.In(time.FixedZone("", 7200))
	if got := formatDate(east); got != receiptDate {
		t.Errorf("formatDate = %q, want %q", got, receiptDate)
	}
}

func FuzzDate(f *testing.F) {
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT")
	f.Add("Sun Nov  6 08:49:37 1994")
	f.Fuzz(func(t *testing.T, s string) {
		date, ok := parseDate(s)
		if slow, slowOK := parseAnyDate(s); slowOK != ok || !slow.Equal(date) {
			t.Fatalf("parseDate(%q) = %v, %t, the long way %v, %t", s, date, ok, slow, slowOK)
		}
		if !ok {
			return
		}
		if again, ok := parseDate(formatDate(date)); !ok || !again.Equal(date) {
			t.Errorf("parseDate(%q) = %v, written out and read again %v, %t", s, date, again, ok)
		}
		if lower, ok := parseDate(strings.ToLower(s)); !ok || !lower.Equal(date) {
			t.Errorf("parseDate(%q) in lower case = %v, %t, want %v", s, lower, ok, date)
		}
	})
}
