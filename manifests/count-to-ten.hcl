# Work that ends: `ctl run manifests/count-to-ten.hcl`, then `ctl logs -f job/count-to-ten`.
job "count-to-ten" {
  datacenters = ["dc1"]
  type        = "batch"

  group "counter" {
    task "count" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
