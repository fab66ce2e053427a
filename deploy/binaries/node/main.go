// hollow-node is the node of the local provider: the real kubelet over a fake container runtime, served with TLS,
// authentication and authorization. Upstream's kubemark serves in the clear on every address; here the same
// HollowKubelet gets what cmd/kubelet/app sets up around a production kubelet.
//
// The cloud provider is "external": the kubelet registers with the taint node.cloudprovider.kubernetes.io/uninitialized
// and leaves addresses and provider id to whoever plays the cloud-controller-manager, because it accepts no loopback
// address as its own.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/cli"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/version/verflag"
	critest "k8s.io/cri-api/pkg/apis/testing"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	kubeletoptions "k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/kubemark"
	utilflag "k8s.io/kubernetes/pkg/util/flag"
)

type options struct {
	kubemark.HollowKubeletOptions
	kubeconfig, address             string
	clientCAFile, certFile, keyFile string
	clusterDNS                      []string
	clusterDomain                   string
	cores                           int
	memory                          uint64
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.NodeName, "name", "", "Name of the node; its client certificate is for system:node:<name>.")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "File with the way to the API server; certificates that it references by path are reloaded.")
	flags.StringVar(&o.address, "address", "", "IP address to serve on.")
	flags.IntVar(&o.KubeletPort, "port", 10250, "Port to serve on.")
	flags.StringVar(&o.clientCAFile, "client-ca-file", "", "CA bundle of the clients; reloaded when replaced.")
	flags.StringVar(&o.certFile, "tls-cert-file", "", "Serving certificate; reloaded when replaced.")
	flags.StringVar(&o.keyFile, "tls-private-key-file", "", "Key of the serving certificate.")
	labels := cliflag.ConfigurationMap(o.NodeLabels)
	flags.Var(&labels, "node-labels", "Labels to register with, as key=value,….")
	flags.Var(utilflag.RegisterWithTaintsVar{Value: &o.RegisterWithTaints}, "register-with-taints", "Taints to register with, as key=value:effect,….")
	flags.IntVar(&o.cores, "cpu", 1, "CPU cores of the machine.")
	flags.Uint64Var(&o.memory, "memory", 4<<30, "Memory of the machine in bytes.")
	flags.IntVar(&o.MaxPods, "max-pods", 110, "Number of pods that the node takes.")
	flags.StringSliceVar(&o.clusterDNS, "cluster-dns", nil, "IP addresses of the cluster's DNS servers.")
	flags.StringVar(&o.clusterDomain, "cluster-domain", "", "DNS domain of the cluster.")
	verflag.AddFlags(flags)
}

// clients gives a client for everything and one for heartbeats, which are neither throttled nor waited for longer
// than a lease lives (as in cmd/kubelet/app).
func (o *options) clients(config *kubeletconfig.KubeletConfiguration) (client, heartbeat *kubernetes.Clientset, err error) {
	rest, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	rest.UserAgent = "hollow-node"
	rest.ContentType = runtime.ContentTypeProtobuf
	rest.QPS, rest.Burst = float32(config.KubeAPIQPS), int(config.KubeAPIBurst)
	if client, err = kubernetes.NewForConfig(rest); err != nil {
		return nil, nil, err
	}
	rest.QPS = -1
	rest.Timeout = min(config.NodeStatusUpdateFrequency.Duration, time.Duration(config.NodeLeaseDurationSeconds)*time.Second)
	heartbeat, err = kubernetes.NewForConfig(rest)
	return client, heartbeat, err
}

// configure turns kubemark's configuration into that of a production kubelet in who may talk to it, and leaves out
// what makes no sense without containers: evictions, log rotation, static pods.
func (o *options) configure(root string) (*kubeletoptions.KubeletFlags, *kubeletconfig.KubeletConfiguration, error) {
	flags, config := kubemark.GetHollowKubeletConfig(&o.HollowKubeletOptions)
	if err := os.RemoveAll(flags.RootDirectory); err != nil {
		return nil, nil, err
	}
	flags.RootDirectory, config.PodLogsDir, config.StaticPodPath = root, filepath.Join(root, "pod-logs"), ""
	flags.CloudProvider, config.ProviderID = "external", ""
	config.ClusterDNS, config.ClusterDomain = o.clusterDNS, o.clusterDomain
	config.EvictionHard, config.LocalStorageCapacityIsolation, config.ContainerLogMaxSize = nil, false, "-1"
	config.Address, config.ReadOnlyPort = o.address, 0
	config.TLSCertFile, config.TLSPrivateKeyFile = o.certFile, o.keyFile
	config.Authentication.X509.ClientCAFile = o.clientCAFile
	config.Authentication.Anonymous.Enabled = false
	config.Authentication.Webhook.Enabled = true
	config.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	return flags, config, nil
}

// emptyRoot gives the kubelet's root directory, of the node's name below TMPDIR. It is emptied at each start: no
// container outlives the process, so neither may what was mounted for one.
func (o *options) emptyRoot() (string, error) {
	root := filepath.Join(os.TempDir(), "hollow-node-"+o.NodeName)
	if err := os.RemoveAll(root); err != nil {
		return "", err
	}
	return root, os.MkdirAll(root, 0o700)
}

// run starts the kubelet and never returns: SIGTERM ends the process, as there is nothing that a stop must save.
func (o *options) run(ctx context.Context) error {
	root, err := o.emptyRoot()
	if err != nil {
		return err
	}
	flags, config, err := o.configure(root)
	if err != nil {
		return err
	}
	client, heartbeat, err := o.clients(config)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", o.kubeconfig, err)
	}
	containers, err := newHollowRuntime(root)
	if err != nil {
		return err
	}
	node := kubemark.NewHollowKubelet(flags, config, client, heartbeat, newMachine(o.NodeName, o.cores, o.memory),
		critest.NewFakeImageService(), containers, cm.NewStubContainerManager())
	if node.KubeletDeps.TLSOptions, err = kubeletapp.InitializeTLS(ctx, flags, config); err != nil {
		return fmt.Errorf("serving certificate %s: %w", o.certFile, err)
	}
	auth, reloadClientCA, err := kubeletapp.BuildAuth(types.NodeName(o.NodeName), client, *config)
	if err != nil {
		return fmt.Errorf("client CA %s: %w", o.clientCAFile, err)
	}
	node.KubeletDeps.Auth = auth
	reloadClientCA(ctx.Done())
	node.Run(ctx)
	return nil
}

func main() {
	o := &options{HollowKubeletOptions: kubemark.HollowKubeletOptions{
		NodeLabels: map[string]string{}, RegisterWithTaints: []v1.Taint{}}}
	command := &cobra.Command{
		Use:    "hollow-node",
		Short:  "A kubelet over a fake container runtime, served with TLS and authentication",
		Args:   cobra.NoArgs,
		PreRun: func(*cobra.Command, []string) { verflag.PrintAndExitIfRequested() },
		RunE:   func(command *cobra.Command, _ []string) error { return o.run(command.Context()) },
	}
	o.addFlags(command.Flags())
	for _, name := range []string{"name", "kubeconfig", "address", "client-ca-file", "tls-cert-file", "tls-private-key-file"} {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	os.Exit(cli.Run(command))
}
