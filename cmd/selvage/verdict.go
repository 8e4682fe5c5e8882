package main

import (
	"errors"
	"fmt"
)

// verdict is the outcome of checking or reloading a configuration.
type verdict struct {
	OK       bool        `json:"ok"`
	File     string      `json:"file,omitempty"`
	Sites    int         `json:"sites,omitempty"`
	Origins  int         `json:"origins,omitempty"`
	Error    string      `json:"error,omitempty"`
	Problems Diagnostics `json:"problems,omitempty"`
}

func newVerdict(name string, f *File, err error) verdict {
	v := verdict{OK: err == nil, File: name}
	switch {
	case err == nil:
		v.Sites, v.Origins = len(f.Sites), len(f.Origins)
	case !errors.As(err, &v.Problems):
		v.Error = err.Error()
	}
	return v
}

// print writes the verdict, in the given word when all is well, and returns it as the error it stands for: what is wrong
// goes to people on standard error also when programs get JSON.
func (v verdict) print(c console, asJSON bool, well string) error {
	if asJSON {
		if err := printJSON(c.out, v); err != nil {
			return err
		}
	}
	switch {
	case len(v.Problems) > 0:
		return v.Problems
	case !v.OK:
		return errors.New(v.Error)
	case asJSON:
		return nil
	}
	_, err := fmt.Fprintf(c.out, "%s: %s: %s, %s\n", v.File, well, count(v.Sites, "site"), count(v.Origins, "origin"))
	return err
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
