package cache

import (
	"net/http"
	"strings"
	"time"
)

// dateLayouts are the three forms of an HTTP-date (RFC 9110, section 5.6.7): IMF-fixdate, and the obsolete forms of
// RFC 850 and of asctime, which recipients must still read.
var dateLayouts = [...]string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC}

// parseDate reads an HTTP-date to the letter, but in any letter case, as RFC 9111, section 4.2 asks of caches. Whatever
// else differs (a zone other than GMT, a year of two digits, an hour of one, a missing comma, a doubled space) makes it
// no date: in Expires that is a date in the past. Only the name of the day may be wrong, since it carries no time.
//
// Two digits of a year mean 1969 to 2068, which for as long as that year is not 50 years ahead is what RFC 9110 demands.
func parseDate(s string) (time.Time, bool) {
	if s == "" { // as most are; time.Parse would make an error of it for every layout
		return time.Time{}, false
	}
	for _, layout := range dateLayouts {
		t, err := time.Parse(layout, strings.ToUpper(s))
		// time.Parse takes more spaces, fewer digits and fractions of seconds, so what it read is written out again.
		if err == nil && strings.EqualFold(afterDay(s), afterDay(t.Format(layout))) {
			return t, true
		}
	}
	return time.Time{}, false
}

// formatDate writes an IMF-fixdate, the only form a sender may generate.
func formatDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// afterDay cuts the name of the day off a date.
func afterDay(date string) string {
	return date[max(0, strings.IndexAny(date, ", ")):]
}
