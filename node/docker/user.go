package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/image"

	"github.com/cupola-paas/cupola/node"
)

// userOf is the user that the container will have, and whether it is a number.
func userOf(w node.Workload, img image.InspectResponse) (name string, numeric bool) {
	user := w.User
	if user == "" && img.Config != nil {
		user = img.Config.User
	}
	name, _, _ = strings.Cut(user, ":")
	_, err := strconv.ParseUint(name, 10, 32)
	return name, err == nil
}

// RootError refuses a workload whose image runs as root.
func RootError(w node.Workload) error {
	return fmt.Errorf("workload %s: image %s runs as root; give it a user other than root", w.ID, w.Image)
}

// refuseRoot sees what can be told from the name alone.
func refuseRoot(w node.Workload, img image.InspectResponse) error {
	name, _ := userOf(w, img)
	if root, _ := RootByName(name); root && !w.AllowRoot {
		return RootError(w)
	}
	return nil
}

// RootByName tells from a user's name alone whether it is root; sure says whether that can be told.
func RootByName(name string) (root, sure bool) {
	_, err := strconv.ParseUint(name, 10, 32)
	zero := err == nil && strings.Trim(name, "0") == ""
	return name == "" || name == "root" || zero, name == "" || name == "root" || err == nil
}

// refuseHiddenRoot looks a user's name up in the image: "app" can be uid 0 as well.
func (d *Docker) refuseHiddenRoot(ctx context.Context, w node.Workload, img image.InspectResponse, containerID string) error {
	name, numeric := userOf(w, img)
	if numeric || w.AllowRoot {
		return nil
	}
	key := img.ID + " " + name
	isRoot, known := d.users.Load(key)
	if !known {
		uid, err := d.lookUpUser(ctx, containerID, name)
		if err != nil {
			return fmt.Errorf("workload %s: user %q of image %s: %w", w.ID, name, w.Image, err)
		}
		isRoot = uid == 0
		d.users.Store(key, isRoot)
	}
	if isRoot.(bool) {
		return RootError(w)
	}
	return nil
}

func (d *Docker) lookUpUser(ctx context.Context, containerID, name string) (uint64, error) {
	body, _, err := d.api.CopyFromContainer(ctx, containerID, "/etc/passwd")
	if notFound(err) {
		return 0, errors.New("the image has no /etc/passwd; use a number")
	}
	if err != nil {
		return 0, failed("read /etc/passwd", err)
	}
	defer body.Close()
	archive := tar.NewReader(body)
	h, err := archive.Next()
	if err != nil || h.Typeflag != tar.TypeReg {
		return 0, errors.New("the image's /etc/passwd is no ordinary file; use a number")
	}
	text, err := io.ReadAll(io.LimitReader(archive, 1<<20))
	if err != nil {
		return 0, failed("read /etc/passwd", err)
	}
	return FindUser(string(text), name)
}

// FindUser returns the uid of a name in the text of an /etc/passwd.
func FindUser(passwd, name string) (uint64, error) {
	for line := range strings.Lines(passwd) {
		f := strings.Split(line, ":")
		if len(f) > 2 && f[0] == name {
			return strconv.ParseUint(f[2], 10, 32)
		}
	}
	return 0, errors.New("no such user in the image's /etc/passwd")
}
