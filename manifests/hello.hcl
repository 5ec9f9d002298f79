# Two processes that greet each other's index. `ctl run manifests/hello.hcl`, then `ctl logs job/hello`.
job "hello" {
  datacenters = ["dc1"]
  type        = "service"

  # A changed job replaces one instance at a time, ten seconds apart.
  update {
    max_parallel = 1
    stagger      = "10s"
  }

  group "greeters" {
    count = 2

    # A greeter that ends is started again; after three failures within five minutes it is given up.
    restart {
      attempts = 3
      interval = "5m"
      delay    = "2s"
      mode     = "fail"
    }

    task "greet" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo \"Hello from $NOMAD_ALLOC_NAME on ${node.unique.name}, port $NOMAD_PORT_http\"; exec sleep infinity"]
      }

      resources {
        cpu    = 50 # MHz
        memory = 32 # MB

        network {
          port "http" {}
        }
      }
    }
  }
}
