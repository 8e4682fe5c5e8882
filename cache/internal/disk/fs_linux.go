package disk

import "syscall"

// Sync is fdatasync(2): the bytes and the size they need, without the times nobody asks for.
func (f osFile) Sync() error { return onDescriptor(f.File, syscall.Fdatasync) }
