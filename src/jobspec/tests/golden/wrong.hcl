job "web" {
  datacentres = ["dc1"]
  priority    = 500

  group "front" {
    count = -1

    task "server" {
      drivr = "docker"
      kill_timeout = "5 minutes"

      resources {
        cpu = 1 / 0
        network {
          port "http" { static = 99999 }
        }
      }
    }
    task "server" {
      driver = "Docker!"
    }
  }
}
