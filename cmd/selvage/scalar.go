package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A scalarError is a value that cannot be what its key wants, with advice.
type scalarError struct{ problem, hint string }

func (e *scalarError) Error() string { return e.problem }

var sizeUnits = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// parseSize reads a number of bytes: 512KiB, 64MiB, 2GiB, or a plain number. MB and the like are refused, because half
// of the world means 1000s by them.
func parseSize(text string) (int64, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	unit := strings.TrimSpace(text[digits:])
	factor, known := sizeUnits[unit]
	switch {
	case errors.Is(err, strconv.ErrRange), known && n > math.MaxInt64/factor:
		return 0, &scalarError{fmt.Sprintf("%s is too large", text), ""}
	case err != nil:
		return 0, &scalarError{fmt.Sprintf("%q is not a size", text), "write a whole number with KiB, MiB or GiB, as in 64MiB"}
	case !known:
		return 0, &scalarError{fmt.Sprintf("%q is not a unit of size", unit), sizeHint(text[:digits], unit)}
	}
	return n * factor, nil
}

func sizeHint(number, unit string) string {
	for _, known := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if strings.EqualFold(unit, known) || strings.EqualFold(unit, known[:1]) || strings.EqualFold(unit, known[:1]+"b") {
			return "did you mean " + number + known + "?"
		}
	}
	return "the units are KiB, MiB, GiB and TiB"
}

// formatSize writes a size as parseSize reads it: whole, in the largest unit that keeps its first two digits.
func formatSize(n int64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if factor := sizeUnits[unit]; n > 0 && (n%factor == 0 || n/factor >= 10) {
			return strconv.FormatInt(n/factor, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

var durationPart = regexp.MustCompile(`^([0-9]{1,12})([a-zA-Zµ]*)`)

// parseDuration reads whole numbers with units, 90s, 1h30m, 2d, added up. A day is 24 hours. A bare number is refused: it
// would be seconds to some and milliseconds to others; 0 alone needs no unit.
func parseDuration(text string) (time.Duration, error) {
	var sum time.Duration
	if text == "0" {
		return 0, nil
	}
	for rest := text; ; {
		part := durationPart.FindStringSubmatch(rest)
		if part == nil {
			return 0, &scalarError{fmt.Sprintf("%q is not a duration", text), "write it as in 30s, 10m, 1h30m or 2d"}
		}
		n, _ := strconv.ParseInt(part[1], 10, 64) // twelve digits always fit
		unit, known := durationUnits[part[2]]
		switch {
		case part[2] == "":
			return 0, &scalarError{fmt.Sprintf("%q has no unit", part[0]), fmt.Sprintf("write %[1]ss, %[1]sm or %[1]sh", part[0])}
		case !known:
			return 0, &scalarError{fmt.Sprintf("%q is not a unit of time", part[2]), "the units are ms, s, m, h and d"}
		case n > int64(maxDuration/unit) || sum+time.Duration(n)*unit > maxDuration:
			return 0, &scalarError{fmt.Sprintf("%q is more than 100 years", text), ""}
		}
		sum += time.Duration(n) * unit
		if rest = rest[len(part[0]):]; rest == "" {
			return sum, nil
		}
	}
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	err := &scalarError{problem: fmt.Sprintf("%q is neither true nor false", text)}
	switch strings.ToLower(text) {
	case "yes", "on", "y", "true", "1":
		err.hint = "write true"
	case "no", "off", "n", "false", "0":
		err.hint = "write false"
	}
	return false, err
}

func parseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, &scalarError{fmt.Sprintf("%s is too large", text), ""}
	case err != nil:
		return 0, &scalarError{fmt.Sprintf("%q is not a whole number", text), ""}
	}
	return n, nil
}

func parseEnum(text, words string) error {
	known := strings.Split(words, ",")
	for _, word := range known {
		if text == word {
			return nil
		}
	}
	return &scalarError{fmt.Sprintf("%q is not one of %s", text, strings.Join(known, ", ")), suggest(text, known, "")}
}

// expand replaces ${NAME} and ${NAME:-default} by the environment. $${ is a literal ${; any other $ stands for itself.
// The default is taken when the variable is unset or empty, as the shell does; it ends at the first }.
func expand(text string, env func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if strings.HasSuffix(before, "$") {
			out.WriteString(before + "{")
			text = after
			continue
		}
		out.WriteString(before)
		expression, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", &scalarError{"a ${ without its }", "write $${ for a literal ${"}
		}
		value, err := expandOne(expression, env)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func expandOne(expression string, env func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(expression, ":-")
	if !variableName.MatchString(name) {
		return "", &scalarError{fmt.Sprintf("${%s} does not name a variable", expression), "write ${NAME}, ${NAME:-default}, or $${ for a literal ${"}
	}
	value, ok := env(name)
	switch {
	case ok && value != "" || ok && !hasFallback:
		return value, nil
	case hasFallback:
		return fallback, nil
	}
	return "", &scalarError{fmt.Sprintf("the environment variable %s is not set", name), fmt.Sprintf("set it, or write ${%s:-default}", name)}
}
