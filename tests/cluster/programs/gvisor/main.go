// A containerd shim for gVisor that leaves its OOM score alone.
//
// gVisor's own program lowers it and calls a failure fatal, so it cannot start where a process may
// not do that (many CI machines). Everything else is gVisor's own shim package.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	gvisor "gvisor.dev/gvisor/pkg/shim/v1"
	_ "gvisor.dev/gvisor/pkg/shim/v1/plugin"
)

type manager struct{ shim.Manager }

// Start runs this program again as the shim of one pod and says where it listens.
func (m manager) Start(ctx context.Context, id string, opts shim.StartOpts) (shim.BootstrapParams, error) {
	var none shim.BootstrapParams
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return none, err
	}
	address, err := shim.SocketAddress(ctx, opts.Address, id, opts.Debug)
	if err != nil {
		return none, err
	}
	socket, err := shim.NewSocket(address)
	if err != nil {
		return none, fmt.Errorf("shim socket: %w", err)
	}
	listener, err := socket.File()
	if err != nil {
		return none, err
	}
	self, err := os.Executable()
	if err != nil {
		return none, err
	}
	command := exec.Command(self, "-namespace", namespace, "-address", opts.Address, "-id", id)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.ExtraFiles = []*os.File{listener}
	// containerd finds a running shim again by these files, and gVisor's shim deletes by them.
	for _, name := range []string{"address", "shim-address"} {
		if err := os.WriteFile(name, []byte(address), 0o600); err != nil {
			return none, err
		}
	}
	if err := command.Start(); err != nil {
		return none, err
	}
	go command.Wait()
	if err := shim.WritePidFile("shim.pid", command.Process.Pid); err != nil {
		return none, err
	}
	return shim.BootstrapParams{Version: 2, Address: address, Protocol: "ttrpc"}, nil
}

func main() {
	shim.Run(context.Background(), manager{gvisor.NewShimManager("io.containerd.runsc.v1")})
}
