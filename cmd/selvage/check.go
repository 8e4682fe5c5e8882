package main

// checkCommand is `selvage check FILE`.
type checkCommand struct {
	File string `arg:"" help:"Configuration file."`
	JSON bool   `name:"json" help:"Print the result as JSON."`
}

// Run checks the file as `run --config` would.
func (k *checkCommand) Run(c console) error {
	f, err := LoadFile(k.File, c.machine)
	return newVerdict(k.File, f, err).print(c, k.JSON, "good")
}
