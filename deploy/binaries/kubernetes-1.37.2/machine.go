package main

import (
	cadvisorapi "github.com/google/cadvisor/lib/model"
	"k8s.io/klog/v2"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
)

// machine is kubemark's fake cadvisor with a size and a name of its own. It stands beside this minor's go.mod
// because cadvisor's interface differs between minors.
type machine struct {
	cadvisortest.Fake
	cores  int
	memory uint64
}

func newMachine(name string, cores int, memory uint64) *machine {
	return &machine{Fake: cadvisortest.Fake{NodeName: name}, cores: cores, memory: memory}
}

// MachineInfo tells the kubelet the node's capacity.
func (m *machine) MachineInfo(logger klog.Logger) (*cadvisorapi.MachineInfo, error) {
	info, err := m.Fake.MachineInfo(logger)
	info.NumCores, info.MemoryCapacity = m.cores, m.memory
	return info, err
}

// VersionInfo tells what people see of the node's operating system.
func (m *machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	return &cadvisorapi.VersionInfo{KernelVersion: "none", ContainerOsVersion: "hollow-node"}, nil
}
