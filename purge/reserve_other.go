//go:build !linux

package purge

import (
	"errors"
	"os"
)

// allocate is not to be had everywhere.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }
