package cache

import (
	"net/http"
	"strings"
	"time"
)

// dateLayouts are the three forms of an HTTP-date (RFC 9110, section 5.6.7): IMF-fixdate, and the obsolete forms of
// RFC 850 and of asctime, which recipients must still read. In the last one a day below 10 has a space or a zero before it.
var dateLayouts = [...]string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC, "Mon Jan 02 15:04:05 2006"}

// parseDate reads an HTTP-date to the letter, but in any letter case, as RFC 9111, section 4.2 asks of caches. Whatever
// else differs (a zone other than GMT, a year of two digits, an hour of one, a missing comma, a doubled space) makes it
// no date: in Expires that is a date in the past. Only the name of the day may be wrong, since it carries no time.
//
// Two digits of a year mean 1969 to 2068, which for as long as that year is not 50 years ahead is what RFC 9110 demands.
func parseDate(s string) (time.Time, bool) {
	if s == "" { // as most are; time.Parse would make an error of it for every layout
		return time.Time{}, false
	}
	if t, ok := parseFixdate(s); ok {
		return t, true
	}
	return parseAnyDate(s)
}

// parseAnyDate is parseDate without the short way. A leap second, of which package time knows nothing, is the second before it.
func parseAnyDate(s string) (time.Time, bool) {
	s = strings.Replace(s, "23:59:60", "23:59:59", 1)
	for _, layout := range dateLayouts {
		t, err := time.Parse(layout, strings.ToUpper(s))
		// time.Parse takes more spaces, fewer digits and fractions of seconds, so what it read is written out again.
		if err == nil && strings.EqualFold(afterDay(s), afterDay(t.Format(layout))) {
			return t, true
		}
	}
	return time.Time{}, false
}

// The names in an IMF-fixdate.
const (
	dayNames   = "Mon Tue Wed Thu Fri Sat Sun "
	monthNames = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "
)

// parseFixdate reads what nearly all senders write, an IMF-fixdate in its usual letters (RFC 9110, section 5.6.7), for a tenth of
// what time.Parse takes. False: it may be a date all the same.
func parseFixdate(s string) (t time.Time, ok bool) {
	const like = "Mon, 02 Jan 2006 15:04:05 GMT"
	if len(s) != len(like) || s[3:5] != ", " || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || s[19] != ':' || s[22] != ':' ||
		s[25:] != " GMT" || strings.IndexByte(s[8:11], ' ') >= 0 {
		return t, false
	}
	day, month := strings.Index(dayNames, s[:3]+" "), strings.Index(monthNames, s[8:12])
	date, okDate := twoDigits(s[5:7])
	century, okCentury := twoDigits(s[12:14])
	year, okYear := twoDigits(s[14:16])
	hour, okHour := twoDigits(s[17:19])
	minute, okMinute := twoDigits(s[20:22])
	second, okSecond := twoDigits(s[23:25])
	if day < 0 || month < 0 || !okDate || !okCentury || !okYear || !okHour || !okMinute || !okSecond {
		return t, false
	}
	t = time.Date(100*century+year, time.Month(month/4+1), date, hour, minute, second, 0, time.UTC)
	return t, t.Day() == date && hour < 24 && minute < 60 && second < 60
}

func twoDigits(s string) (n int, ok bool) {
	tens, ones := s[0]-'0', s[1]-'0'
	return int(tens)*10 + int(ones), tens <= 9 && ones <= 9
}

// formatDate writes an IMF-fixdate, the only form a sender may generate.
func formatDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// afterDay cuts the name of the day off a date.
func afterDay(date string) string {
	return date[max(0, strings.IndexAny(date, ", ")):]
}
