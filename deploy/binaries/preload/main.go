// preload-images makes the images that lie unpacked on a release disk known to containerd, and becomes it:
//
//	preload-images IMAGES ROOT CONTAINERD ARGUMENT...
//
// Nothing is copied, unpacked or hashed, which takes an emulated machine minutes: containerd's records of an
// image are made by its own packages, in its folder ROOT, and the snapshot of its layer is a link to the tree on
// the disk. The layer itself isn't there, as with containerd's discard_unpacked_layers. Images are pinned, since
// removing one frees nothing. It has to run before containerd, which locks its records.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// criNamespace is the one that containerd keeps Kubernetes' images and containers in.
const criNamespace = "k8s.io"

func preload(images, root string) error {
	store, err := openStore(root)
	if err != nil {
		return err
	}
	defer store.close()
	folders, err := os.ReadDir(images)
	if err != nil {
		return err
	}
	ctx := namespaces.WithNamespace(context.Background(), criNamespace)
	for _, folder := range folders {
		image, err := readImage(filepath.Join(images, folder.Name()))
		if err != nil {
			return fmt.Errorf("image %s: %w", folder.Name(), err)
		}
		if err := store.add(ctx, image); err != nil {
			return fmt.Errorf("image %s: %w", image.name, err)
		}
	}
	return nil
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: preload-images IMAGES ROOT CONTAINERD ARGUMENT...")
		os.Exit(2)
	}
	err := preload(os.Args[1], os.Args[2])
	if err == nil {
		err = syscall.Exec(os.Args[3], os.Args[3:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "preload-images:", err)
	os.Exit(1)
}
