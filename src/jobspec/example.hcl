# An example job: it runs as it is on any machine that has a shell.
#
#   ctl run example.hcl        start it
#   ctl status example         see what runs, and where
#   ctl logs -f job/example    read what it prints
#   ctl stop example           stop it
#
# A file holds one job. A job holds groups, a group holds tasks.
job "example" {
  # A service runs until it is told to stop. The other type, "batch", runs until it ends well.
  type = "service"

  # Without `datacenters`, every node may be used.
  # datacenters = ["dc1"]

  # A condition that a node has to meet.
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  # When the job changes, instances are replaced one at a time, ten seconds apart.
  update {
    max_parallel = 1
    stagger      = "10s"
  }

  # The tasks of a group are placed together, on one node.
  group "web" {
    # How many instances of the group are wanted.
    count = 1

    # A task that exits is started again after 5 s, at most 3 times in 2 minutes.
    restart {
      attempts = 3
      interval = "2m"
      delay    = "5s"
      mode     = "delay"
    }

    # A port that the planner chooses. The task finds it as NOMAD_PORT_http.
    network {
      port "http" {}
    }

    task "greeter" {
      # raw_exec runs a program as it is, without isolation.
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo \"$GREETING from $NOMAD_ALLOC_NAME, port $NOMAD_PORT_http\"; sleep 5; done"]
      }

      env {
        GREETING = "Hello"
        NODE     = "${node.unique.name}"
      }

      # What the task may use: MHz and MB. Placing counts with it.
      resources {
        cpu    = 50
        memory = 32
      }

      # On stop the task gets this signal, and is killed if it is still there after the timeout.
      kill_signal  = "SIGTERM"
      kill_timeout = "5s"
    }
  }
}
