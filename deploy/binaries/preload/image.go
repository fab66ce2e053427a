package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// unpacked is an image as it lies on the disk: a folder with manifest.json, config.json and the tree rootfs.
type unpacked struct {
	name, tree       string
	manifest, config []byte
	target           ocispec.Descriptor
	configured       ocispec.Descriptor
	chain            string
}

func readImage(folder string) (image unpacked, err error) {
	image.tree = filepath.Join(folder, "rootfs")
	var manifest ocispec.Manifest
	if image.manifest, err = readJSON(filepath.Join(folder, "manifest.json"), &manifest); err != nil {
		return image, err
	}
	var config ocispec.Image
	if image.config, err = readJSON(filepath.Join(folder, "config.json"), &config); err != nil {
		return image, err
	}
	image.name, image.configured = manifest.Annotations[images.AnnotationImageName], manifest.Config
	image.target = ocispec.Descriptor{
		MediaType: manifest.MediaType,
		Digest:    digest.FromBytes(image.manifest),
		Size:      int64(len(image.manifest)),
	}
	image.chain = identity.ChainID(config.RootFS.DiffIDs).String()
	return image, nil
}

func readJSON(path string, document any) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return content, json.Unmarshal(content, document)
}
