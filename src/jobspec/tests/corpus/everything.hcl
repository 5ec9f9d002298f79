variable "image" {
  type    = string
  default = "shop/web"
}

locals {
  tag = "${var.image}:1.2"
}

job "shop/web" {
  region      = "eu"
  namespace   = "shop"
  type        = "service"
  priority    = 70
  datacenters = ["dc1", "dc*"]
  all_at_once = false

  meta {
    owner = "team-a"
  }

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  constraint {
    distinct_hosts = true
  }

  spread {
    attribute = "${node.datacenter}"
    weight    = 80
    target "dc1" {
      percent = 60
    }
  }

  affinity {
    attribute = "${meta.rack}"
    regexp    = "^r[0-9]"
    weight    = 50
  }

  update {
    max_parallel     = 2
    stagger          = "15s"
    health_check     = "checks"
    min_healthy_time = "5s"
  }

  ui {
    description = "the shop"
    link {
      label = "runbook"
      url   = "https://example.org"
    }
  }

  group "front" {
    count = 3

    restart {
      attempts = 2
      interval = "1m"
      delay    = "5s"
      mode     = "fail"
    }

    reschedule {
      delay          = "10s"
      delay_function = "fibonacci"
      max_delay      = "10m"
      unlimited      = true
    }

    migrate {
      max_parallel = 2
    }

    ephemeral_disk {
      size   = 500
      sticky = true
    }

    network {
      mode = "host"
      port "http" {}
      port "admin" {
        static = 9000
      }
    }

    service {
      name     = "front"
      port     = "http"
      tags     = ["v1"]
      provider = "nomad"
      check {
        type     = "http"
        path     = "/health"
        interval = "10s"
        timeout  = "2s"
        header {
          Accept = ["text/html"]
        }
        check_restart {
          limit = 3
          grace = "30s"
        }
      }
    }

    task "server" {
      driver = "docker"
      user   = "nobody"
      leader = true

      config {
        image = local.tag
        args  = ["-listen", "0.0.0.0:${NOMAD_PORT_http}", "-dc", "$node.datacenter"]
        port_map {
          http = 8080
        }
        labels = {
          "org.example.a" = "b"
        }
        mount {
          type   = "tmpfs"
          target = "/tmp"
        }
      }

      env {
        WORKERS = 4
        REGION  = "${node.region}"
      }

      resources {
        cpu        = 500
        memory     = 256
        memory_max = 512
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }

      kill_timeout   = "20s"
      kill_signal    = "SIGTERM"
      shutdown_delay = "3s"

      action "dump" {
        command = "/bin/true"
        args    = ["x"]
      }
    }
  }
}
