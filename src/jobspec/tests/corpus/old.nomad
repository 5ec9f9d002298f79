# The way job files were written in 2016.
"job" "old" {
  datacenters = ["dc1"],
  type = "batch"
  group "work" { count = "2", restart { attempts = 3 interval = "5m" delay = "10s" mode = "delay" }
    constraint { attribute = "$attr.kernel.name" value = "linux" }
    task "run" {
      driver = "raw_exec"
      config { command = "/bin/sh", args = ["-c", "echo ${NOMAD_TASK_NAME}"] }
      env { "A" = "1" "B.C" = "2" }
      resources { cpu = "20", memory = 10, network { mbits = 1 port "http" {} port "ssh" { static = "2222" } } }
      meta { where = "${node.datacenter}" }
    }
  }
}
