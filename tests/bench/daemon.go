package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/tests/images"
)

// through times a command of guestctl's on an image, read through a guestctld that was started for it and holds nothing:
// attaching the image is part of the command, starting the daemon is not. {} stands for the image.
func through(command string) func(images.Image) (float64, error) {
	return func(img images.Image) (seconds float64, err error) {
		dir, err := os.MkdirTemp("", "guestctl-bench-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		socket, config := filepath.Join(dir, "s"), filepath.Join(dir, "config.json")
		if err := os.WriteFile(config, []byte(`{"audit":"-"}`), 0o600); err != nil {
			return 0, err
		}
		cmd := exec.Command("bin/guestctld", "--socket", socket, "--config", config)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		defer func() {
			err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM))
			if werr := cmd.Wait(); werr != nil {
				err = errors.Join(err, fmt.Errorf("guestctld: %w: %s", werr, said.String()))
			}
		}()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			c, err := net.Dial("unix", socket)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				return 0, fmt.Errorf("guestctld does not listen: %w", err)
			}
		}
		command := replaceAll(command, img.Path)
		return timed(strings.Replace(command, "bin/guestctl ", "bin/guestctl --socket "+socket+" ", 1))
	}
}
