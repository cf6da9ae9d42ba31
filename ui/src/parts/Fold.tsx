import { Collapse, UnstyledButton } from "@mantine/core"
import { useDisclosure, useId } from "@mantine/hooks"
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react"
import type { ReactNode } from "react"

/** What most people do not need, behind its title. */
export function Fold({ title, children }: { title: string; children: ReactNode }) {
  const [open, { toggle }] = useDisclosure()
  const id = useId()
  const Chevron = open ? IconChevronDown : IconChevronRight
  return (
    <div>
      <UnstyledButton
        fz="sm"
        fw={500}
        onClick={toggle}
        aria-expanded={open}
        aria-controls={id}
        style={{ display: "flex", alignItems: "center", gap: 4 }}
      >
        <Chevron size={15} aria-hidden /> {title}
      </UnstyledButton>
      <Collapse expanded={open} id={id}>
        <div style={{ paddingTop: 8 }}>{children}</div>
      </Collapse>
    </div>
  )
}
