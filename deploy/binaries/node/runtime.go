package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	critest "k8s.io/cri-api/pkg/apis/testing"
)

const notice = "this container is not real: the node runs a fake container runtime"

var errNotReal = errors.New(notice)

// hollowRuntime is the fake container runtime of the kubelet's own tests, with words for those who ask a container
// for what it can't give.
type hollowRuntime struct {
	*critest.FakeRuntimeService
	log string
}

// newHollowRuntime keeps the log that all its containers share in folder.
func newHollowRuntime(folder string) (*hollowRuntime, error) {
	service := critest.NewFakeRuntimeService()
	service.FakeStatus = &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
		{Type: runtimeapi.RuntimeReady, Status: true},
		{Type: runtimeapi.NetworkReady, Status: true},
	}}
	log := filepath.Join(folder, "container.log")
	line := fmt.Sprintf("%s stdout F %s\n", time.Now().UTC().Format(time.RFC3339Nano), notice)
	return &hollowRuntime{service, log}, os.WriteFile(log, []byte(line), 0o600)
}

func (r *hollowRuntime) ContainerStatus(ctx context.Context, id string, verbose bool) (*runtimeapi.ContainerStatusResponse, error) {
	response, err := r.FakeRuntimeService.ContainerStatus(ctx, id, verbose)
	if err == nil {
		response.Status.LogPath = r.log
	}
	return response, err
}

func (r *hollowRuntime) Exec(context.Context, *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	return nil, errNotReal
}

func (r *hollowRuntime) Attach(context.Context, *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	return nil, errNotReal
}

func (r *hollowRuntime) PortForward(context.Context, *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	return nil, errNotReal
}
