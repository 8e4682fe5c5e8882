package cache

import (
	"net/http"
	"time"
)

func parseDate(s string) (time.Time, bool) {
	t, err := http.ParseTime(s)
	return t, err == nil
}
