package nomad

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
)

// imageCache remembers what was found out about images. A reference has a digest, so it stays true.
type imageCache struct {
	mu    sync.Mutex
	users map[string]bool // reference and user -> is it root
}

// checkImage sees that the image is there for who gives these credentials, and that it does not run as root. The
// nodes pull it later; what would fail there fails here, where somebody is told.
func (e *Nomad) checkImage(ctx context.Context, w node.Workload) error {
	ref, err := name.NewDigest(w.Image)
	if err != nil {
		return fmt.Errorf("workload %s: image %q: %w", w.ID, w.Image, err)
	}
	var auth authn.Authenticator = authn.Anonymous
	if w.PullUser != "" || w.PullSecret != "" {
		auth = &authn.Basic{Username: w.PullUser, Password: w.PullSecret}
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuth(auth))
	if err != nil {
		return fmt.Errorf("workload %s: image %s: %w", w.ID, w.Image, err)
	}
	if w.AllowRoot {
		return nil
	}
	c, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("workload %s: image %s: %w", w.ID, w.Image, err)
	}
	root, err := e.images.isRoot(w, c.Config.User, img)
	if err != nil {
		return fmt.Errorf("workload %s: user of image %s: %w", w.ID, w.Image, err)
	}
	if root {
		return docker.RootError(w)
	}
	return nil
}

// isRoot looks a user's name up in the image, since any name can be uid 0.
func (c *imageCache) isRoot(w node.Workload, imageUser string, img v1.Image) (bool, error) {
	user := w.User
	if user == "" {
		user = imageUser
	}
	user, _, _ = strings.Cut(user, ":")
	root, sure := docker.RootByName(user)
	if sure {
		return root, nil
	}
	key := w.Image + " " + user
	c.mu.Lock()
	root, known := c.users[key]
	c.mu.Unlock()
	if known {
		return root, nil
	}
	passwd, err := readFile(img, "etc/passwd")
	if err != nil {
		return false, err
	}
	uid, err := docker.FindUser(passwd, user)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == nil {
		c.users = map[string]bool{}
	}
	c.users[key] = uid == 0
	return uid == 0, nil
}

// readFile reads a small file from the topmost layer that has it.
func readFile(img v1.Image, file string) (string, error) {
	layers, err := img.Layers()
	if err != nil {
		return "", err
	}
	for n := len(layers) - 1; n >= 0; n-- {
		text, found, err := readLayer(layers[n], file)
		if err != nil || found {
			return text, err
		}
	}
	return "", errors.New("the image has no /" + file + "; use a number")
}

func readLayer(l v1.Layer, file string) (string, bool, error) {
	body, err := l.Uncompressed()
	if err != nil {
		return "", false, err
	}
	defer body.Close()
	for tr := tar.NewReader(body); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return "", false, nil
		}
		if err != nil {
			return "", false, err
		}
		if strings.TrimPrefix(path.Clean("/"+h.Name), "/") != file {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return "", false, errors.New("the image's /" + file + " is no ordinary file; use a number")
		}
		text, err := io.ReadAll(io.LimitReader(tr, 1<<20))
		return string(text), true, err
	}
}
