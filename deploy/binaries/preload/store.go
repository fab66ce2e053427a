package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

const (
	snapshotter = "overlayfs"
	lockedFor   = 10 * time.Second
)

// store is containerd's own, opened where containerd's plugins look for their parts.
type store struct {
	file      *bolt.DB
	snapshots snapshots.Snapshotter
	records   *metadata.DB
	images    images.Store
}

func openStore(root string) (*store, error) {
	blobs, err := local.NewStore(filepath.Join(root, plugins.ContentPlugin.String()+".content"))
	if err != nil {
		return nil, err
	}
	layers, err := overlay.NewSnapshotter(filepath.Join(root, plugins.SnapshotPlugin.String()+"."+snapshotter))
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(root, plugins.MetadataPlugin.String()+".bolt")
	if err := os.MkdirAll(folder, 0o711); err != nil {
		return nil, err
	}
	options := *bolt.DefaultOptions
	options.NoFreelistSync, options.Timeout = true, lockedFor
	file, err := bolt.Open(filepath.Join(folder, "meta.db"), 0o644, &options)
	if err != nil {
		return nil, err
	}
	records := metadata.NewDB(file, blobs, map[string]snapshots.Snapshotter{snapshotter: layers})
	if err := records.Init(context.Background()); err != nil {
		return nil, err
	}
	return &store{file, layers, records, metadata.NewImageStore(records)}, nil
}

func (s *store) close() error {
	if err := s.snapshots.Close(); err != nil {
		return err
	}
	return s.file.Close()
}

// add makes an image known, unless it is. The image's own record is the last one, so a run that was cut short is
// done again. Each record names the one before, which containerd would else throw away.
func (s *store) add(ctx context.Context, image unpacked) error {
	if _, err := s.images.Get(ctx, image.name); !errdefs.IsNotFound(err) {
		return err
	}
	if err := s.addSnapshot(ctx, image.chain, image.tree); err != nil {
		return err
	}
	layer := map[string]string{"containerd.io/gc.ref.snapshot." + snapshotter: image.chain}
	if err := s.addBlob(ctx, image.configured, image.config, layer); err != nil {
		return err
	}
	config := map[string]string{"containerd.io/gc.ref.content.config": image.configured.Digest.String()}
	if err := s.addBlob(ctx, image.target, image.manifest, config); err != nil {
		return err
	}
	pinned := map[string]string{"io.cri-containerd.pinned": "pinned"}
	_, err := s.images.Create(ctx, images.Image{Name: image.name, Target: image.target, Labels: pinned})
	return err
}

// addSnapshot commits a snapshot whose files are a link to those in tree.
func (s *store) addSnapshot(ctx context.Context, chain, tree string) error {
	layers, key := s.records.Snapshotter(snapshotter), "preload-"+chain
	if _, err := layers.Stat(ctx, chain); !errdefs.IsNotFound(err) {
		return err
	}
	if err := layers.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	mounts, err := layers.Prepare(ctx, key, "")
	if err != nil {
		return err
	}
	folder := mounts[0].Source // without a parent, the mount is one of the folder with the snapshot's files
	if err := os.Remove(folder); err != nil {
		return err
	}
	if err := os.Symlink(tree, folder); err != nil {
		return err
	}
	return layers.Commit(ctx, chain, key)
}

func (s *store) addBlob(
	ctx context.Context, blob ocispec.Descriptor, document []byte, labels map[string]string,
) error {
	blobs, reference := s.records.ContentStore(), "preload-"+blob.Digest.String()
	return content.WriteBlob(ctx, blobs, reference, bytes.NewReader(document), blob, content.WithLabels(labels))
}
