package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"

	"github.com/docker/docker/api/types/container"

	"github.com/cupola-paas/cupola/node"
)

// programDir is where programs are put in a container; only root can write there.
const programDir = ".cupola"

var programName = regexp.MustCompile(`^[a-z]{1,32}$`)

// install puts a program into a container unless it is there, and returns its path. The path has a part of the
// content's digest, so that another version of us brings its own.
func (d *Docker) install(ctx context.Context, containerID string, p *node.Program) (string, error) {
	if !programName.MatchString(p.Name) {
		return "", fmt.Errorf("program %q: name it with lower-case letters", p.Name)
	}
	sum := sha256.Sum256(p.Content)
	name := programDir + "/" + p.Name + "-" + hex.EncodeToString(sum[:6])
	have, err := d.api.ContainerStatPath(ctx, containerID, "/"+name)
	if err == nil && have.Size == int64(len(p.Content)) {
		return "/" + name, nil
	}
	if err != nil && !notFound(err) {
		return "", err
	}
	var b bytes.Buffer
	if err := packProgram(&b, name, p.Content); err != nil {
		return "", err
	}
	return "/" + name, d.api.CopyToContainer(ctx, containerID, "/", &b, container.CopyToContainerOptions{})
}

func packProgram(b *bytes.Buffer, name string, content []byte) error {
	w := tar.NewWriter(b)
	for _, h := range []*tar.Header{
		{Name: programDir + "/", Mode: 0o755, Typeflag: tar.TypeDir},
		{Name: name, Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(content))},
	} {
		if err := w.WriteHeader(h); err != nil {
			return err
		}
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Close()
}
