package api

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/controller/bits"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Bounds of what an upload may unpack to, so that a small file cannot fill the disk when a build uses it.
const (
	buildpackUnpackedBytes = 6 << 30
	buildpackFiles         = 200_000
	manifestBytes          = 4 << 20
)

// buildpackBits is what an uploaded buildpack says of itself.
type buildpackBits struct {
	stack string // of manifest.yml; empty: any
}

// readBuildpack checks the bits of an upload for a lifecycle. What is wrong with them is a BuildpackZipError.
func (s *Server) readBuildpack(lifecycle, sum string, size int64) (buildpackBits, error) {
	f, err := s.blobs.Open(sum)
	if err != nil {
		return buildpackBits{}, fmt.Errorf("check buildpack: %w", err)
	}
	defer f.Close()
	if lifecycle == capi.LifecycleCNB {
		return buildpackBits{}, checkBuildpackage(f)
	}
	return readBuildpackZip(f, size)
}

func zipError(format string, args ...any) error {
	return capi.BuildpackZipError.Errorf("Buildpack zip error: "+format, args...)
}

func readBuildpackZip(f *os.File, size int64) (b buildpackBits, err error) {
	limits := bits.DefaultLimits
	limits.Bytes, limits.Files = buildpackUnpackedBytes, buildpackFiles
	if _, err := bits.Open(f, size, limits); err != nil {
		return b, zipError("%v", err)
	}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return b, zipError("%v", err)
	}
	for _, file := range z.File {
		if path.Clean(file.Name) != "manifest.yml" {
			continue
		}
		b.stack, err = stackOfManifest(file)
		return b, err
	}
	return b, nil
}

// stackOfManifest reads which stack a classic buildpack is for. One that cannot be read says nothing.
func stackOfManifest(file *zip.File) (string, error) {
	r, err := file.Open()
	if err != nil {
		return "", zipError("%v", err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, manifestBytes))
	if err != nil {
		return "", zipError("manifest.yml: %v", err)
	}
	var manifest struct {
		Stack string `yaml:"stack"`
	}
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		return "", nil //nolint:nilerr // Cloud Foundry takes such a buildpack as one for any stack
	}
	return manifest.Stack, nil
}

// checkBuildpackage looks for the parts of an OCI image layout and bounds what unpacks from it.
func checkBuildpackage(f io.Reader) error {
	r := io.Reader(bufio.NewReader(f))
	if magic, err := r.(*bufio.Reader).Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if r, err = gzip.NewReader(r); err != nil {
			return zipError("%v", err)
		}
	}
	parts, left := map[string]bool{}, int64(buildpackUnpackedBytes)
	for tr, n := tar.NewReader(r), 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return zipError("the file is not a buildpackage or is cut off (%v)", err)
		}
		if left -= h.Size; left < 0 || n > buildpackFiles {
			return zipError("the buildpackage is larger than %d MB", buildpackUnpackedBytes>>20)
		}
		parts[path.Clean(h.Name)] = true
	}
	if !parts["oci-layout"] || !parts["index.json"] {
		return zipError("the file is not a buildpackage: it has no oci-layout and index.json")
	}
	return nil
}

// takeStack gives a buildpack without a stack that of its bits, and refuses bits for another one.
func takeStack(tx *store.Tx, b *store.Buildpack, stack string) error {
	switch {
	case stack == "" || stack == b.Stack:
		return nil
	case b.Stack != "":
		return capi.BuildpackStacksDontMatch.Errorf("Uploaded buildpack stack (%s) does not match %s", clip(stack, 100), b.Stack)
	}
	if _, err := store.Stacks.Find(tx, "name", stack); err != nil {
		return orElse(err, capi.BuildpackStackDoesNotExist.Errorf("Uploaded buildpack stack (%s) does not exist", clip(stack, 100)))
	}
	taken, err := store.Buildpacks.Count(tx, store.By("name", b.Name), store.By("stack", stack), store.By("lifecycle", b.Lifecycle))
	if err != nil {
		return err
	}
	if taken > 0 {
		return capi.BuildpackNameStackTaken.Errorf("The buildpack name %s is already in use for the stack %s", b.Name, stack)
	}
	b.Stack = stack
	return nil
}
