"""The networks that are trained here, with the tensor names that the Rust crate expects."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut without parameters (option A of He et al.)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.new_channels = outputs - inputs
        # Does nothing; a place for a hook that looks at the sum before its ReLU.
        self.add = nn.Identity()

    def shortcut(self, x: Tensor) -> Tensor:
        """Every `stride`-th pixel, and zeros for the new channels, half of them before and half after."""
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            before = self.new_channels // 2
            x = functional.pad(x, (0, 0, 0, 0, before, self.new_channels - before))
        return x

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.bn1(self.conv1(x)))
        hidden = self.bn2(self.conv2(hidden))
        return functional.relu(self.add(hidden + self.shortcut(x)))


class CifarResNet(nn.Module):
    """The ResNet of He et al. (2015), section 4.2, for images of 3x32x32: 6n + 2 layers."""

    def __init__(self, n: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(16, 16, blocks=n, stride=1)
        self.layer2 = stage(16, 32, blocks=n, stride=2)
        self.layer3 = stage(32, 64, blocks=n, stride=2)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, BasicBlock):
                # Each block begins as its shortcut, which makes the first steps of training stable.
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


def resnet32(classes: int = 10) -> CifarResNet:
    return CifarResNet(n=5, classes=classes)


class MiniOnn(nn.Module):
    """The CIFAR-10 network of Liu, Juuti, Lu and Asokan (2017), figure 13: seven convolutions with biases."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv6 = nn.Conv2d(64, 64, kernel_size=1)
        self.conv7 = nn.Conv2d(64, 16, kernel_size=1)
        self.linear = nn.Linear(16 * 8 * 8, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        x = functional.avg_pool2d(x, 2)
        x = functional.relu(self.conv3(x))
        x = functional.relu(self.conv4(x))
        x = functional.avg_pool2d(x, 2)
        x = functional.relu(self.conv5(x))
        x = functional.relu(self.conv6(x))
        x = functional.relu(self.conv7(x))
        return self.linear(x.flatten(1))


class Square(nn.Module):
    """x squared, which takes one multiplication of secret values where a ReLU takes a comparison."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


class MiniOnnSquare(nn.Module):
    """MiniONN's network with squares in place of ReLUs, each behind a batch normalisation that keeps it small.

    The normalisations begin with mean 1 and deviation 1/2: (1 + z/2)^2 = 1 + z + z^2/4 is all but linear at first, so
    that seven squares do not amplify the largest values until nothing can be learnt.
    """

    KERNELS = [(3, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 1), (64, 16, 1)]

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        for number, (inputs, outputs, kernel) in enumerate(self.KERNELS, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False))
            norm = nn.BatchNorm2d(outputs)
            nn.init.constant_(norm.weight, 0.5)
            nn.init.ones_(norm.bias)
            self.add_module(f"bn{number}", norm)
            self.add_module(f"square{number}", Square())
        self.linear = nn.Linear(16 * 8 * 8, classes)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, len(self.KERNELS) + 1):
            conv, norm, square = (self.get_submodule(f"{kind}{number}") for kind in ("conv", "bn", "square"))
            x = square(norm(conv(x)))
            if number in (2, 4):
                x = functional.avg_pool2d(x, 2)
        return self.linear(x.flatten(1))


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) for 1x32x32, with ReLU and maximum pooling."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(functional.relu(self.fc2(x)))


class TwoConvolutions(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation and a ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)))


class Up(nn.Module):
    """Each pixel becomes a square of 2x2, and a 3x3 convolution halves the channels."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = conv3x3(inputs, inputs // 2)
        self.bn = nn.BatchNorm2d(inputs // 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        return functional.relu(self.bn(self.conv(x)))


class UNet(nn.Module):
    """A small U-Net (Ronneberger, Fischer, Brox 2015) with two levels; gives a logit for each pixel."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.down1 = TwoConvolutions(3, 16)
        self.down2 = TwoConvolutions(16, 32)
        self.middle = TwoConvolutions(32, 64)
        self.up2 = Up(64)
        self.join2 = TwoConvolutions(64, 32)
        self.up1 = Up(32)
        self.join1 = TwoConvolutions(32, 16)
        self.head = nn.Conv2d(16, classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        skip1 = self.down1(x)
        skip2 = self.down2(functional.max_pool2d(skip1, 2))
        x = self.middle(functional.max_pool2d(skip2, 2))
        x = self.join2(torch.cat([skip2, self.up2(x)], dim=1))
        x = self.join1(torch.cat([skip1, self.up1(x)], dim=1))
        return self.head(x)


class TwoOwners(nn.Module):
    """A multilayer perceptron over 15 columns of each of two owners."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.fc1 = nn.Linear(30, 16)
        self.fc2 = nn.Linear(16, 8)
        self.fc3 = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.fc1(x))
        return self.fc3(functional.relu(self.fc2(x)))


def folded_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of each convolution times the scale of the batch normalisation behind it, if any (convN and bnN)."""
    modules = dict(model.named_modules())
    folded = {}
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            prefix, _, last = name.rpartition(".")
            norm = modules.get(".".join(filter(None, (prefix, last.replace("conv", "bn")))))
            if not isinstance(norm, nn.BatchNorm2d):
                folded[name] = module.weight.detach()
                continue
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            folded[name] = (module.weight * scale[:, None, None, None]).detach()
    return folded
