package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"os"

	"github.com/cupola-paas/cupola/controller/builders"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// holderRepository has the image that keeps places of builds.
const holderRepository = "builds/holder"

// openCluster makes what has builds done on machines of the cluster, where there is one.
func (s *Server) openCluster() (err error) {
	e, ok := s.engine.(node.Reserver)
	if !ok {
		return nil
	}
	s.cluster, err = builders.NewCluster(builders.ClusterOptions{
		Engine: e, Reach: s.reachNode, Push: s.registry.PushToken, PushUser: store.PushUser,
		Holder: func(ctx context.Context) (string, error) {
			return s.builder.PushHolder(ctx, s.registry.Host()+"/"+holderRepository)
		},
		PullUser: store.PullUser, PullSecret: s.pullPassword, Host: s.registry.Host(), Images: s.buildImages, Blobs: s.blobs,
		BuildEnv: stagingProxies(os.Environ()), CABundle: hostCABundle(), Foreign: s.config.Builder != "", Parallel: s.config.Builds, Log: s.log,
	})
	return err
}

// buildImages are those of all stacks, by digest.
func (s *Server) buildImages() (images []string, err error) {
	err = s.db.View(func(tx *store.Tx) error {
		for st := range store.Stacks.All(tx) {
			if st.BuildImage != "" {
				images = append(images, st.BuildImage)
			}
		}
		return nil
	})
	return images, err
}

// reachNode is where the agent of a machine is. The address is the one that the machine gave when it joined.
func (s *Server) reachNode(nodeID string) (address string, config *tls.Config, err error) {
	var n *store.Node
	err = s.db.View(func(tx *store.Tx) (err error) { n, err = store.Nodes.Get(tx, nodeID); return err })
	if errors.Is(err, store.ErrNotFound) {
		return "", nil, errors.New("it has not joined this platform")
	}
	if err != nil {
		return "", nil, err
	}
	return n.Agent, s.door.Agent(nodeID), nil
}

// caches are the build caches of all machines.
type caches struct{ s *Server }

// guidLength is where the app's GUID ends in a cache id (see staging.CacheID).
const guidLength = 36

// Sweep implements cleanup.AppData.
func (c caches) Sweep(keep func(appGUID string) bool) error {
	keeps := func(id string) bool { return len(id) < guidLength || keep(id[:guidLength]) }
	ids, err := c.s.builder.Caches()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if !keeps(id) {
			errs = append(errs, c.s.builder.DeleteCache(id))
		}
	}
	if c.s.cluster != nil {
		errs = append(errs, c.s.cluster.Caches(context.Background(), keeps))
	}
	return errors.Join(errs...)
}

// cleanUp makes a pass of the clean-up at once.
func (s *Server) cleanUp(ctx context.Context) (capi.CleanUp, error) {
	freed, err := s.cleanup.Step(ctx)
	return capi.CleanUp{Freed: freed.Sum(), Images: freed.Images, Packages: freed.Blobs, Pulled: freed.Pulled}, err
}

// clearCache drops the build caches of one app, whatever their stack; of all apps where none is named.
func (s *Server) clearCache(_ context.Context, appGUID string) error {
	return caches{s}.Sweep(func(app string) bool { return appGUID != "" && app != appGUID })
}
