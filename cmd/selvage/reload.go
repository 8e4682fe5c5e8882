package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// reloadCommand is `selvage reload`.
type reloadCommand struct {
	Socket string `help:"Admin socket of the running node." placeholder:"PATH"`
	JSON   bool   `name:"json" help:"Print the result as JSON."`
}

// Run has the running node read its configuration again, and says what came of it.
func (k *reloadCommand) Run(c console) error {
	v, err := askReload(adminSocketPath(k.Socket, c.machine.env, os.Geteuid()))
	if err != nil {
		return err
	}
	return v.print(c, k.JSON, "in force")
}

func askReload(socket string) (v verdict, err error) {
	client := adminClient(socket)
	client.Timeout = time.Minute
	response, err := client.Post(adminURL+"/v1/reload", "application/json", strings.NewReader("{}"))
	if err != nil {
		return v, fmt.Errorf("reach the running node: %w", err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(&v); err != nil {
		return v, fmt.Errorf("the node answered %s and no result: %w", response.Status, err)
	}
	return v, nil
}
