"""Look at guest clusters and log in to them; they are made and changed with `kubectl` or the `temporal` CLI."""

import typer

from workers.cli.access import access
from workers.cli.certificates import certificates
from workers.cli.hypervisors import hypervisors
from workers.cli.kubeconfig import kubeconfig
from workers.cli.leftovers import leftovers
from workers.cli.listing import list_clusters
from workers.cli.logs import logs
from workers.cli.rescue import rescue
from workers.cli.status import status

app = typer.Typer(
    name="g8s",
    help=__doc__,
    epilog="To make, change, cancel and delete clusters see the cheat sheet in README.md. Temporal is found by "
    "TEMPORAL_ADDRESS and profiles, as by the temporal CLI; without them the local stack's is used.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(list_clusters)
app.command()(status)
app.command()(logs)
app.command()(access)
app.command()(certificates)
app.command()(kubeconfig)
app.command()(leftovers)
app.command()(hypervisors)
app.command()(rescue)

if __name__ == "__main__":
    app(prog_name="g8s")
