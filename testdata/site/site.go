// Package site is a small real site: the pages of the demo's origin, and something true to test with.
package site

import "embed"

// Files are the pages, and below assets/ what they are made of.
//
//go:embed *.html assets
var Files embed.FS
