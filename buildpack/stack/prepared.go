package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PreparedDir is where an Addition's commands leave what they have made for the image.
const PreparedDir = "/prepared"

// prepareFiles runs the commands of an addition in the tree that its packages were installed into, without privileges.
func (a *assembly) prepareFiles(ctx context.Context, add Addition) error {
	if len(add.Prepare) == 0 {
		return nil
	}
	uid, gid, err := ParseUser(add.User)
	if err != nil {
		return err
	}
	dir := filepath.Join(a.buildRoot(), PreparedDir)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return err
	}
	null := filepath.Join(a.buildRoot(), "dev/null")
	if err := errors.Join(os.RemoveAll(null), unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Chmod(null, 0o666)); err != nil {
		return fmt.Errorf("make /dev/null: %w", err)
	}
	drop := []string{"setpriv", "--reuid=" + strconv.Itoa(uid), "--regid=" + strconv.Itoa(gid), "--clear-groups", "--bounding-set=-all", "--no-new-privs", "--"}
	for _, args := range add.Prepare {
		c := command{args: append(drop[:len(drop):len(drop)], args...), root: a.buildRoot(), env: hostEnv(), line: a.progress.line, log: a.log}
		if err := c.run(ctx); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return nil
}

// ParseUser reads a numeric uid:gid.
func ParseUser(user string) (uid, gid int, err error) {
	u, g, found := strings.Cut(user, ":")
	uid, errUID := strconv.Atoi(u)
	gid, errGID := strconv.Atoi(g)
	if !found || errUID != nil || errGID != nil || uid < 0 || gid < 0 {
		return 0, 0, fmt.Errorf("user %q: write it as 2000:2000", user)
	}
	return uid, gid, nil
}
