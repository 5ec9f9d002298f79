variable "names" {
  type    = list(string)
  default = ["a", "b"]
}

variables {
  size = 3
}

locals {
  sum   = 1 + 2 * 3 - 4 / 2 % 3
  upper = [for n in var.names : upper(n) if n != "c"]
  map   = { for i, n in var.names : n => i }
  text  = <<-EOT
    %{ for n in var.names ~}
    name ${n}
    %{ endfor ~}
  EOT
}

job "expressions" {
  meta = {
    upper = join(",", local.upper)
    size  = format("%03d", var.size)
    pick  = var.size > 2 ? "large" : "small"
    json  = jsonencode(local.map)
    text  = local.text
    first = local.upper[0]
    all   = "${length(var.names)}-${can(var.names[9])}-${try(local.map.z, "none")}"
  }

  group "g" {
    network {
      dynamic "port" {
        for_each = var.names
        labels   = ["p-${port.value}"]
        content {
          static = 8000 + port.key
        }
      }
    }

    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/echo"
        args    = concat(["${attr.cpu.arch}", attr.kernel.name], [for i in range(3) : tostring(i)])
      }
    }
  }
}
