# Puts the gateway in front of each server that a test of PostgreSQL's own starts (perl -MGateway).
#
# GATEWAY_BIN is the gateway; without it the tests go to their servers directly. On both ways servers listen on TCP, which is
# where the gateway can reach them.
package Gateway;

use strict;
use warnings;

use Socket;
use PostgreSQL::Test::Utils;

BEGIN { $PostgreSQL::Test::Utils::use_unix_sockets = 0; }

use PostgreSQL::Test::Cluster;

my (%gateways, %superusers);

{
	no warnings 'redefine';
	my $init = \&PostgreSQL::Test::Cluster::init;
	*PostgreSQL::Test::Cluster::init = sub {
		my ($node, %params) = @_;
		my ($user) = join("\n", @{ $params{extra} || [] }) =~ /^-U\n(.*)$/m;
		$superusers{$node} = $user // getpwuid($<);
		return $init->($node, %params);
	};
	my $start = \&PostgreSQL::Test::Cluster::start;
	*PostgreSQL::Test::Cluster::start = sub {
		my ($node, @rest) = @_;
		my $started = $start->($node, @rest);
		stand_before($node) if $started and $ENV{GATEWAY_BIN};
		return $started;
	};
}

# From here on the node's port is the gateway's: `pg_ctl` finds the server by its own file.
sub stand_before
{
	my $node = shift;
	return if $gateways{$node};
	my $folder = $node->basedir . '/gateway';
	mkdir $folder or die "cannot make $folder: $!";
	mkdir "$folder/apply";
	mkdir "$folder/apply/policies";
	my ($port, $admin) = (free_port(), free_port());
	write_file("$folder/durward.toml", <<"TOML");
data = "$folder/data"
[postgres]
listen = []
targets = { node = "127.0.0.1:$port" }
[console]
listen = "127.0.0.1:$admin"
TOML
	my ($host, $server, $user) = ($node->host, $node->port, $superusers{$node});
	write_file("$folder/apply/targets.toml", <<"TOML");
[[targets]]
name = "node"
host = "$host"
port = $server
user = "$user"
database = "postgres"
sslmode = "disable"
TOML
	write_file("$folder/apply/policies/all.cedar", '@id("all") permit(principal, action, resource);');

	my $said = say_of('init', '--data', "$folder/data");
	($ENV{DURWARD_ADMIN_SECRET}) = $said =~ /(dwa_\w+)/ or die "no secret: $said";
	$ENV{DURWARD_GATEWAY} = "http://127.0.0.1:$admin";
	my $pid = fork() // die "cannot fork: $!";
	if (!$pid)
	{
		open STDIN,  '<', '/dev/null';
		open STDOUT, '>', "$folder/log";
		open STDERR, '>&', \*STDOUT;
		exec $ENV{GATEWAY_BIN}, 'serve', '-c', "$folder/durward.toml" or POSIX::_exit(127);
	}
	$gateways{$node} = $pid;
	for my $look (1 .. 300)
	{
		last if connects($admin) and connects($port);
		die 'the gateway does not start' if $look == 300;
		select undef, undef, undef, 0.1;
	}
	say_of('apply', '-f', "$folder/apply");
	($ENV{PGPASSWORD}) = say_of('token', 'issue', 'agent:tests') =~ /(dwt_\w+)/ or die 'no token';
	$node->{_port} = $port;
	return;
}

# What one command of the gateway prints.
sub say_of
{
	open my $said, '-|', $ENV{GATEWAY_BIN}, @_ or die "cannot run the gateway: $!";
	my $text = do { local $/; <$said> };
	close $said or die "the gateway's @_ ended with $?";
	return $text;
}

sub write_file
{
	my ($path, $text) = @_;
	open my $file, '>', $path or die "cannot write $path: $!";
	print $file $text;
	close $file;
	return;
}

sub free_port
{
	socket my $probe, PF_INET, SOCK_STREAM, getprotobyname('tcp') or die $!;
	bind $probe, pack_sockaddr_in(0, INADDR_LOOPBACK) or die $!;
	my ($port) = unpack_sockaddr_in(getsockname $probe);
	return $port;
}

sub connects
{
	my $port = shift;
	socket my $probe, PF_INET, SOCK_STREAM, getprotobyname('tcp') or die $!;
	return connect $probe, pack_sockaddr_in($port, INADDR_LOOPBACK);
}

END
{
	my $status = $?;
	kill 'KILL', $_ for values %gateways;
	waitpid $_, 0 for values %gateways;
	$? = $status;
}

1;
